using System.Diagnostics;
using System.Globalization;
using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench;

/// <summary>
/// Step and solve of every network beside the memory floor, in turn (floor, step, solve, apply, floor, ...), so that a machine that
/// changes its speed changes all of them. A second row per network: steps that rescale a momentum with every weight. Medians, and ratios
/// of medians; the ratio of the smallest times tells what a machine does that others use at the same time. Prints markdown.
/// </summary>
internal static class FloorTable
{
    private const int Rounds = 31;

    // Until the runtime has recompiled what runs often, which it does in the background, a tenth of a second after things have become quiet.
    private const double WarmUpSeconds = 3;
    private const int WarmUpRounds = 3;

    public static int Run(string[] args)
    {
        var threads = args.Length > 0 ? int.Parse(args[0], CultureInfo.InvariantCulture) : Environment.ProcessorCount;
        var names = args.Length > 1 ? args[1..] : [.. StandardNetworks.Names];
        using var backend = new CpuBackend(threads);
        Print($"- {RunFacts.Runtime()}");
        Print($"- {threads} threads, vectors of {VectorWidths.Default}, {Rounds} rounds after 3 s, medians, float32 weights, p = 2, tolerance 1e-8");
        Print($"- floor = one read of all weights, then one read and write (3 |W| bytes), plain vector loops, same threads, same run; each on weights of its own");
        Print($"- momentum: a float32 first moment for every weight, and its read and write in step and floor (5 |W| bytes)");
        Print($"- commit {RunFacts.Commit()}, {DateTime.UtcNow:yyyy-MM-dd}");
        Print($"");
        Print($"| network | weights [MB] | floor [ms] | floor [GB/s] | step [ms] | step / floor | of minima | solve [ms] | apply [ms] | (solve + apply) / floor | sweeps | gap |");
        Print($"|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (var name in names)
        {
            Row(name, backend);
            MomentumRow(name, backend);
        }

        return 0;
    }

    private static void Row(string name, CpuBackend backend)
    {
        var network = StandardNetworks.Create(name);
        var problem = new RescalingProblem(network.Network);
        var identity = Scalings.Identity(network.Network);
        var times = new double[4, Rounds];
        RescalingResult? result = null;

        // Each works on weights of its own, so that none finds in a core's caches what another has left there.
        using var floor = new MemoryFloor(network.Copy(), backend);
        using var stepped = network.Copy().Bind();
        using var stepper = new RescalingStepper(problem, stepped, backend);
        using var applied = network.Copy().Bind();
        using var solved = network.Bind();
        foreach (var slot in Slots())
        {
            times[0, slot] = Time(() => floor.Step());
            times[1, slot] = Time(() => stepper.Step());
            times[2, slot] = Time(() => result = RescalingSolver.Solve(problem, solved, null, backend));
            times[3, slot] = Time(() => RescalingSolver.Apply(identity, applied, backend));
        }

        var least = Least(times, 1) / Least(times, 0);
        var (f, step, solve, apply) = (Median(times, 0), Median(times, 1), Median(times, 2), Median(times, 3));
        Print($"| {name} | {network.Bytes / 1e6:F1} | {f:F2} | {3 * network.Bytes / f / 1e6:F1} | {step:F2} | {step / f:F2} | {least:F2} | {solve:F2} | {apply:F2} | {(solve + apply) / f:F2} | {result!.Sweeps:F2} | {result.GapBound:G2} |");
    }

    private static void MomentumRow(string name, CpuBackend backend)
    {
        var network = StandardNetworks.Create(name);
        var momentum = network.CreateMomentum();
        using var tensors = network.Bind();
        network.BindMomentum(tensors, momentum);
        using var floor = new MemoryFloor(network.Copy(), backend, [.. momentum.Select(m => m.AsSpan().ToArray())]);
        using var stepper = new RescalingStepper(new RescalingProblem(network.Network), tensors, backend);
        var times = new double[2, Rounds];
        foreach (var slot in Slots())
        {
            times[0, slot] = Time(() => floor.Step());
            times[1, slot] = Time(() => stepper.Step());
        }

        var (f, step) = (Median(times, 0), Median(times, 1));
        var least = Least(times, 1) / Least(times, 0);
        Print($"| {name}, momentum | {2 * network.Bytes / 1e6:F1} | {f:F2} | {5 * network.Bytes / f / 1e6:F1} | {step:F2} | {step / f:F2} | {least:F2} | | | | | |");
    }

    // Where the times of each round go: the first place while warming up.
    private static IEnumerable<int> Slots()
    {
        var began = Stopwatch.GetTimestamp();
        for (var round = 0; round < WarmUpRounds || Stopwatch.GetElapsedTime(began).TotalSeconds < WarmUpSeconds; round++)
        {
            yield return 0;
        }

        for (var round = 0; round < Rounds; round++)
        {
            yield return round;
        }
    }

    private static double Time(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static double Median(double[,] times, int row) => Sorted(times, row)[Rounds / 2];

    private static double Least(double[,] times, int row) => Sorted(times, row)[0];

    private static double[] Sorted(double[,] times, int row)
    {
        var values = new double[Rounds];
        for (var n = 0; n < Rounds; n++)
        {
            values[n] = times[row, n];
        }

        Array.Sort(values);
        return values;
    }

    private static void Print(FormattableString line) => Console.WriteLine(line.ToString(CultureInfo.InvariantCulture));
}
