using System.Diagnostics;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>gpucheck: everything that the GPU backend computes, against the CPU backend.</summary>
internal static class CheckCommand
{
    private const int DefaultDraws = 9;
    private const int DefaultDrawsOfMachine = 3;

    public const string Usage = """
        gpucheck [--seed N] [--draws N] [--only TEXT] [--device N] [--ilgpu NAME] [--machine]
          --seed N     decides every random draw (default: a new one for each run; it is printed)
          --draws N    networks of each family (default: 9; 3 with --machine)
          --only TEXT  only the groups whose name contains the text
          --device N   the GPU's number (default: the first that can be used)
          --ilgpu NAME the ILGPU queue instead of the CUDA queue, where built with ILGPU: cuda, cuda:N, or cpu (slow)
          --machine    no GPU: the same kernels and checks on the PTX machine, which runs on the CPU; small networks only
        """;

    /// <summary>Runs the command.</summary>
    public static int Run(IEnumerable<string> args, TextWriter output)
    {
        var arguments = new Arguments(args, Usage);
        var seed = arguments.Number("--seed") ?? Random.Shared.Next(1_000_000);
        var machine = arguments.Flag("--machine");
        var draws = arguments.Number("--draws") ?? (machine ? DefaultDrawsOfMachine : DefaultDraws);
        var only = arguments.Text("--only") ?? "";
        var index = arguments.Number("--device");
        var ilgpu = arguments.Text("--ilgpu");
        arguments.RequireNoMore();
        CheckDevice device;
        if (machine)
        {
            device = CheckDevice.OfMachine();
        }
        else if (ilgpu is not null)
        {
            try
            {
                device = CheckDevice.OfIlgpu(ilgpu);
            }
            catch (Exception e) when (e is not OutOfMemoryException)
            {
                output.WriteLine($"gpucheck: --ilgpu {ilgpu}: {e.Message}");
                return Exit.NoDevice;
            }
        }
        else if (Devices.Find(index, out var found, out var reason))
        {
            device = CheckDevice.OfCuda(found.Index);
        }
        else
        {
            output.WriteLine($"gpucheck: {reason} Nothing was checked. --machine runs the checks on the PTX machine, which needs no GPU.");
            return Exit.NoDevice;
        }

        using (device)
        {
            output.WriteLine($"gpucheck {Build.Version} on {device.Name}, seed {seed}, {draws} networks of each family");
            if (machine)
            {
                output.WriteLine("The PTX machine executes the kernels' PTX on the CPU: no GPU takes part, large networks and graphs are left out.");
            }

            return Run(device, new CheckPlan(device, seed, draws).Groups().Where(g => g.Name.Contains(only, StringComparison.Ordinal)), output);
        }
    }

    /// <summary>Runs groups, prints the table and the last line.</summary>
    public static int Run(CheckDevice device, IEnumerable<(string Name, Action<CheckGroup> Run)> groups, TextWriter output)
    {
        const string row = "{0,-24} {1,7} {2,7} {3,8} {4,10} {5,10} {6,9}";
        output.WriteLine(string.Format(null, row, "group", "passed", "failed", "skipped", "max dF/F", "max du", "seconds"));
        var (passed, failed, skipped, clock) = (0, 0, 0, Stopwatch.StartNew());
        foreach (var (name, run) in groups)
        {
            var group = new CheckGroup(name);
            var start = clock.Elapsed;
            var isLost = Run(group, run);
            var seconds = (clock.Elapsed - start).TotalSeconds;
            output.WriteLine(Row(row, group, seconds));
            foreach (var failure in group.Failures)
            {
                output.WriteLine($"    FAILED {failure}");
            }

            if (group.Failed > group.Failures.Count)
            {
                output.WriteLine($"    ... and {group.Failed - group.Failures.Count} more");
            }

            output.Flush();
            (passed, failed, skipped) = (passed + group.Passed, failed + group.Failed, skipped + group.Skipped);
            if (isLost)
            {
                output.WriteLine("A kernel went wrong and took the context along: the groups that follow were not run.");
                break;
            }
        }

        output.WriteLine(FormattableString.Invariant(
            $"{device.Name}: {clock.Elapsed.TotalSeconds:0.0} s; {skipped} comparisons do not apply (channels merely disconnected, too many groups to correct, graphs on the PTX machine)"));
        output.WriteLine($"{passed} passed, {failed} failed");
        return failed == 0 && passed > 0 ? Exit.Success : Exit.Failed;
    }

    // What a check throws is a failure of its group; true if no further one can run.
    private static bool Run(CheckGroup group, Action<CheckGroup> run)
    {
        try
        {
            run(group);
            return false;
        }
        catch (CudaException e)
        {
            group.That(false, e.Message);
            return e.Kind == CudaErrorKind.LostContext;
        }
        catch (Exception e)
        {
            group.That(false, $"{e.GetType().Name}: {e.Message} {e.StackTrace?.Split('\n').FirstOrDefault(l => l.Contains("EquiNorm", StringComparison.Ordinal))?.Trim()}");
            return false;
        }
    }

    private static string Row(string row, CheckGroup group, double seconds) => string.Format(
        System.Globalization.CultureInfo.InvariantCulture, row, group.Name, group.Passed, group.Failed, group.Skipped,
        group.Objective.ToString("G2", System.Globalization.CultureInfo.InvariantCulture),
        group.Factors.ToString("G2", System.Globalization.CultureInfo.InvariantCulture),
        seconds.ToString("0.0", System.Globalization.CultureInfo.InvariantCulture));
}
