using System.Diagnostics;
using System.Globalization;
using System.Text;
using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench.Scaling;

/// <summary>
/// How the cost of a step and of a solve grows with width, depth, size, kernel and number of channel groups: time beside the memory floor of
/// the same run, sweeps, and the bytes that a solve reads. Writes a table and a plot for each study.
/// </summary>
internal static class ScalingStudy
{
    private static readonly string[] Header =
    [
        "| {0} | weights [MB] | channels | floor [ms] | step [ms] | step / floor | step [GB/s] | solve [ms] | solve / floor | sweeps | solve reads [MB] |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ];

    public static int Run(string[] args)
    {
        var folder = Value(args, "--out") ?? "scaling";
        var threads = int.Parse(Value(args, "--threads") ?? Environment.ProcessorCount.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);
        var largest = double.Parse(Value(args, "--largest") ?? "1e9", CultureInfo.InvariantCulture);
        var only = Value(args, "--only");
        Directory.CreateDirectory(folder);
        using var backend = new CpuBackend(threads);
        foreach (var study in Studies().Where(s => only is null || s.Name == only))
        {
            var points = study.Cases.Where(c => c.Parameters <= largest).Select(c => Measure(c, backend)).ToArray();
            if (points.Length > 0)
            {
                Report(folder, study, points, threads);
            }
        }

        if (only is null or "external")
        {
            ExternalStudy.Run(folder, largest, backend);
        }

        return 0;
    }

    /// <summary>What was measured on, in one paragraph, for the head of a result file.</summary>
    public static string Machine(int threads) =>
        $"{RunFacts.Runtime()}; {threads} threads; float32 weights, p = 2, tolerance 1e-8; medians; commit {RunFacts.Commit()}, {DateTime.UtcNow:yyyy-MM-dd}";

    private static IEnumerable<Study> Studies()
    {
        yield return new Study("width", "width of 16 dense layers", [.. Powers(16, 4096).Select(w => Chain(w, w, 16))]);
        yield return new Study("depth", "dense layers of 64", [.. new[] { 10, 30, 100, 300, 1000, 3000, 10000 }.Select(d => Chain(d, 64, d))]);
        yield return new Study(
            "parameters", "parameters, in 16 dense layers",
            [.. new[] { 1e4, 3e4, 1e5, 3e5, 1e6, 3e6, 1e7, 3e7, 1e8, 3e8 }.Select(n => Chain(n, (int)Math.Round(Math.Sqrt(n / 16)), 16))]);
        yield return new Study("kernel", "kernel side, 8 convolutions of about 4 MB", [.. new[] { 1, 3, 5, 7, 11 }.Select(Convolutions)]);
        yield return new Study(
            "groups", "channel groups, 4 million parameters in all",
            [.. new[] { 1, 4, 16, 64, 256, 1024 }.Select(g => Chain(g, (int)Math.Round(Math.Sqrt(4e6 / (g + 1))), g + 1))]);
    }

    private static IEnumerable<int> Powers(int first, int last)
    {
        for (var n = first; n <= last; n *= 2)
        {
            yield return n;
        }
    }

    private static ScalingCase Chain(double x, int width, int layers) =>
        new(x, (double)width * width * layers, () => StandardNetworks.DenseChain([.. Enumerable.Repeat(width, layers + 1)], seed: 1));

    private static ScalingCase Convolutions(int side)
    {
        var width = (int)Math.Round(1000.0 / side);
        return new(side, 8.0 * width * width * side * side, () =>
        {
            var generator = new NetworkGenerator(1);
            var x = generator.Input(width);
            for (var n = 0; n < 8; n++)
            {
                x = generator.Convolution(x, width, side * side);
            }

            generator.Output(x);
            return generator.Finish();
        });
    }

    private static ScalingPoint Measure(ScalingCase scalingCase, CpuBackend backend)
    {
        var network = scalingCase.Create();
        using var tensors = network.Bind();
        using var floor = new MemoryFloor(network, backend);
        var problem = new RescalingProblem(network.Network);

        // Steps change the weights, so they come after the solves. Enough of each to settle, at most a second and a half.
        RescalingResult? result = null;
        var solve = Median(() => result = RescalingSolver.Solve(problem, tensors, null, backend));
        using var stepper = new RescalingStepper(problem, tensors, backend);
        var (floorTime, step) = MedianPair(() => floor.Step(), () => stepper.Step());
        var energies = network.Network.Weights.Sum(w => w.Layout.Kernel > 1 ? 8.0 * w.Layout.Elements / w.Layout.Kernel : 4.0 * w.Layout.Elements);
        var point = new ScalingPoint(
            scalingCase.X, network.Bytes, network.Network.Groups.Where(g => !g.IsPinned).Sum(g => g.Count), floorTime, step, solve, result!.Sweeps,
            network.Bytes + Math.Max(0, 2 * result.Sweeps - 1) * energies);
        Console.Error.WriteLine(Invariant($"{scalingCase.X:G6}: floor {floorTime:F3} ms, step {step:F3} ms, solve {solve:F3} ms, {result.Sweeps:F2} sweeps"));
        return point;
    }

    private static double Median(Action action) => MedianPair(action, null).First;

    private static (double First, double Second) MedianPair(Action first, Action? second)
    {
        var (a, b) = (new List<double>(), new List<double>());
        var began = Stopwatch.GetTimestamp();
        for (var round = -2; round < 5 || (round < 101 && Stopwatch.GetElapsedTime(began).TotalSeconds < 1.5); round++)
        {
            var (x, y) = (Time(first), second is null ? 0 : Time(second));
            if (round >= 0)
            {
                a.Add(x);
                b.Add(y);
            }
        }

        return (Middle(a), Middle(b));
    }

    private static double Time(Action action)
    {
        var start = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(start).TotalMilliseconds;
    }

    private static double Middle(List<double> values)
    {
        values.Sort();
        return values[values.Count / 2];
    }

    private static void Report(string folder, Study study, ScalingPoint[] points, int threads)
    {
        var text = new StringBuilder();
        text.Append(CultureInfo.InvariantCulture, $"# Scaling: {study.Label}\n\n{Machine(threads)}\n\n");
        text.Append(CultureInfo.InvariantCulture, $"`dotnet run -c Release --project bench/EquiNorm.Bench -- scaling --only {study.Name}`\n\n");
        text.Append(string.Format(CultureInfo.InvariantCulture, Header[0], study.Label)).Append('\n').Append(Header[1]).Append('\n');
        foreach (var p in points)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {p.X:G6} | {p.Bytes / 1e6:G4} | {p.Channels} | {p.Floor:G3} | {p.Step:G3} | {p.Step / p.Floor:F2} ")
                .Append(CultureInfo.InvariantCulture, $"| {3 * p.Bytes / p.Step / 1e6:F1} | {p.Solve:G3} | {p.Solve / p.Floor:F2} | {p.Sweeps:F2} | {p.SolveReads / 1e6:G4} |\n");
        }

        text.Append("\nstep [GB/s]: the 3 |W| bytes of the floor over the time of the step. solve reads: |W| once, then the energies (float64 behind a kernel, the weights themselves otherwise) for every further half sweep.\n");
        File.WriteAllText(Path.Combine(folder, $"{study.Name}.md"), text.ToString());
        LogLogPlot.Write(
            Path.Combine(folder, $"{study.Name}.svg"), $"Step and solve against {study.Label}", study.Label, "milliseconds",
            [
                new("memory floor of a step", [.. points.Select(p => (p.X, p.Floor))]), new("step", [.. points.Select(p => (p.X, p.Step))]),
                new("solve to 1e-8", [.. points.Select(p => (p.X, p.Solve))]),
            ]);
        if (study.Name == "depth")
        {
            LogLogPlot.Write(
                Path.Combine(folder, "depth-sweeps.svg"), "Sweeps to a certified gap of 1e-8", study.Label, "sweeps",
                [
                    new("EquiNorm", [.. points.Select(p => (p.X, p.Sweeps))]),
                    new("predicted for one group after the other", [.. points.Select(p => (p.X, Plain(p.X)))]),
                ]);
        }
    }

    // Plain sweeps shrink the gap of a chain of q weights by cos^4(pi / q) each: the slowest mode is constant within a group.
    private static double Plain(double weights) => Math.Log(1e-8) / (4 * Math.Log(Math.Cos(Math.PI / weights)));

    private static string? Value(string[] args, string name)
    {
        var at = Array.IndexOf(args, name);
        return at < 0 ? null : at + 1 < args.Length ? args[at + 1] : throw new ArgumentException($"{name} needs a value.");
    }

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private sealed record Study(string Name, string Label, ScalingCase[] Cases);

    private sealed record ScalingCase(double X, double Parameters, Func<GeneratedNetwork> Create);

    private sealed record ScalingPoint(
        double X, double Bytes, int Channels, double Floor, double Step, double Solve, double Sweeps, double SolveReads);
}
