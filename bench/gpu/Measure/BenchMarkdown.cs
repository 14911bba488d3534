using System.Globalization;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>A report as Markdown, as it is committed under bench/results.</summary>
internal static class BenchMarkdown
{
    private const string None = "-";

    /// <summary>Writes the report.</summary>
    public static void Write(BenchReport report, TextWriter output)
    {
        var machine = report.Machine;
        output.WriteLine($"# Step and solve on {machine.Device}");
        output.WriteLine();
        output.WriteLine("`gpubench` (bench/gpu); medians, float32 weights, p = 2, solves to a certified gap of 1e-8.");
        output.WriteLine();
        output.WriteLine(Invariant(
            $"- device: {machine.Device}, compute capability {machine.ComputeCapability}, {machine.Multiprocessors} multiprocessors, {machine.MemoryBytes / 1e9:F1} GB"));
        output.WriteLine($"- driver: {machine.Driver ?? "number unknown"}, CUDA {machine.Cuda}");
        output.WriteLine($"- host: {machine.Processor}, {machine.Threads} threads, {machine.Runtime}, {machine.System}");
        output.WriteLine(Invariant($"- date: {machine.Date:yyyy-MM-dd}, commit: {machine.Commit}"));
        output.WriteLine(Invariant(
            $"- ceiling: {Gigabytes(report.Copy.BytesPerSecond)} GB/s, read and written by the driver's copy of {report.Copy.Bytes / 1e6:F0} MB within the device, in this run ({Gigabytes(report.Copy.Before)} before the networks, {Optional(report.Copy.After, Gigabytes)} after)"));
        output.WriteLine(Invariant($"- the run took {report.Seconds:F0} s"));
        Steps(report, output);
        Solves(report, output);
        Cpu(report, output);
        Peer(report, output);
        ColdStart(report, output);
        LeftOut(report, output);
    }

    private static void Steps(BenchReport report, TextWriter output)
    {
        output.WriteLine();
        output.WriteLine("## A step");
        output.WriteLine();
        output.WriteLine("CUDA events around batches of steps on tensors of the device. GB/s counts 3 |W| bytes (one read for the sums, one read and write to");
        output.WriteLine("apply) in the faster of the two times; weights that fit in the device's cache can exceed the ceiling.");
        output.WriteLine();
        Table(
            output,
            ["network", ">|W| [MB]", ">launches", ">step [us]", ">as a graph [us]", ">GB/s", ">of the ceiling"],
            report.Networks.Where(r => r.Step is not null).Select(r => (string[])
            [
                r.Network, Megabytes(r.Bytes), $"{r.Step!.Launches}", Microseconds(r.Step.Plain), Microseconds(r.Step.Graph),
                Gigabytes(r.StepBytes / r.Step.Best), Percent(r.StepBytes / r.Step.Best / report.Copy.BytesPerSecond),
            ]));
    }

    private static void Solves(BenchReport report, TextWriter output)
    {
        output.WriteLine();
        output.WriteLine("## A solve");
        output.WriteLine();
        output.WriteLine("Wall time of RescalingSolver.Solve on tensors of the device, planning, workspace and certificate included, after two solves before it.");
        output.WriteLine("GB/s counts the |W| bytes that are read at least once.");
        output.WriteLine();
        Table(
            output,
            ["network", ">|W| [MB]", ">solve [ms]", ">GB/s", ">of the ceiling", ">sweeps", ">gap", ">launches", ">waits", "status"],
            report.Networks.Where(r => r.Solve is not null).Select(r => (string[])
            [
                r.Network, Megabytes(r.Bytes), Milliseconds(r.Solve!.Time), Gigabytes(r.Bytes / r.Solve.Time),
                Percent(r.Bytes / r.Solve.Time / report.Copy.BytesPerSecond), Invariant($"{r.Solve.Sweeps:F1}"),
                Optional(r.Solve.GapBound, g => Invariant($"{g:G2}")), $"{r.Solve.Launches}", $"{r.Solve.Synchronizations}", r.Solve.Status,
            ]));
    }

    private static void Cpu(BenchReport report, TextWriter output)
    {
        output.WriteLine();
        output.WriteLine($"## Against the CPU backend on {report.Machine.Threads} threads of the same machine");
        output.WriteLine();
        Table(
            output,
            ["network", ">CPU step [ms]", ">GPU step [ms]", ">CPU / GPU", ">CPU solve [ms]", ">GPU solve [ms]", ">CPU / GPU"],
            report.Networks.Where(r => r.Cpu is not null).Select(r => (string[])
            [
                r.Network, Milliseconds(r.Cpu!.Step), Optional(r.Step?.Best, Milliseconds), Optional(r.Cpu.Step / r.Step?.Best, Ratio),
                Milliseconds(r.Cpu.Solve), Optional(r.Solve?.Time, Milliseconds), Optional(r.Cpu.Solve / r.Solve?.Time, Ratio),
            ]));
    }

    private static void Peer(BenchReport report, TextWriter output)
    {
        if (report.Peer is not { } peer)
        {
            return;
        }

        output.WriteLine();
        output.WriteLine("## Against the reference implementation");
        output.WriteLine();
        output.WriteLine($"One step of {peer.File} with torch {peer.Torch} on {peer.Device}, no biases, no momentum, same shapes, same run. It balances one");
        output.WriteLine("layer after the other and leaves the last one out; one step of ours also corrects whole layers.");
        output.WriteLine();
        Table(
            output,
            ["network", ">reference step [us]", ">step [us]", ">reference / step"],
            report.Networks.Where(r => r.PeerStep is not null).Select(r => (string[])
            [
                r.Network, Microseconds(r.PeerStep!.Value), Optional(r.Step?.Best, Microseconds), Optional(r.PeerStep / r.Step?.Best, Ratio),
            ]));
    }

    private static void ColdStart(BenchReport report, TextWriter output)
    {
        if (report.ColdStart is not { } cold)
        {
            return;
        }

        output.WriteLine();
        output.WriteLine("## Cold start");
        output.WriteLine();
        output.WriteLine($"{cold.Network}, first use of the device in this process: {Milliseconds(cold.Total)} ms to the end of the first step: driver, context and");
        output.WriteLine($"stream {Milliseconds(cold.Queue)} ms, planning and workspace {Milliseconds(cold.Prepare)} ms, kernels and first step {Milliseconds(cold.FirstStep)} ms. The second step took");
        output.WriteLine($"{Milliseconds(cold.SecondStep)} ms, the upload of the weights (not counted) {Milliseconds(cold.Upload)} ms. " + (cold.CacheDisabled == "1"
            ? "The driver's cache of compiled kernels was off."
            : "The driver's cache of compiled kernels was on: it may have held them from an earlier run (CUDA_CACHE_DISABLE=1 turns it off)."));
    }

    private static void LeftOut(BenchReport report, TextWriter output)
    {
        output.WriteLine();
        output.WriteLine("## Left out");
        output.WriteLine();
        foreach (var omission in report.LeftOut)
        {
            output.WriteLine($"- {omission.What}: {omission.Why.TrimEnd('.')}.");
        }

        if (report.LeftOut.Count == 0)
        {
            output.WriteLine("Nothing.");
        }
    }

    private static void Table(TextWriter output, string[] headings, IEnumerable<string[]> rows)
    {
        output.WriteLine($"| {string.Join(" | ", headings.Select(h => h.TrimStart('>').Replace("|", "\\|")))} |");
        output.WriteLine($"|{string.Concat(headings.Select(h => h[0] == '>' ? "---:|" : "---|"))}");
        foreach (var row in rows)
        {
            output.WriteLine($"| {string.Join(" | ", row)} |");
        }
    }

    private static string Optional(double? value, Func<double, string> format) => value is { } v ? format(v) : None;

    private static string Megabytes(long bytes) => Invariant($"{bytes / 1e6:F1}");

    private static string Gigabytes(double bytesPerSecond) => Digits(bytesPerSecond / 1e9);

    private static string Microseconds(double seconds) => Digits(1e6 * seconds);

    private static string Milliseconds(double seconds) => Digits(1e3 * seconds);

    private static string Ratio(double ratio) => Digits(ratio);

    private static string Percent(double share) => Invariant($"{100 * share:F0} %");

    // Three digits, more where they lie before the point.
    private static string Digits(double value) => value switch
    {
        >= 100 => Invariant($"{value:F0}"),
        >= 10 => Invariant($"{value:F1}"),
        >= 1 => Invariant($"{value:F2}"),
        _ => Invariant($"{value:G3}"),
    };

    private static string Invariant(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
