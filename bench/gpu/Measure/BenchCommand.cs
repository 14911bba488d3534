using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>gpubench: times on a GPU, beside the copy bandwidth of the same run, the CPU of the same machine, and the reference implementation.</summary>
internal static class BenchCommand
{
    private const string ColdNetwork = "resnet18";

    // What is kept back for the copy at the end, the report and the end of a part that took longer than guessed.
    private const double Reserve = 15;
    private const double PeerSeconds = 60;

    private static readonly TimeSpan Limit = TimeSpan.FromMinutes(8);

    public const string Usage = """
        gpubench [--out DIR] [--peer FILE] [--quick] [--device N] [--dry-run]
          --out DIR    where gpubench.md and gpubench.json go (default: the current folder)
          --peer FILE  a copy of enorm.py of facebookresearch/enorm: its step is timed too, where python3 has torch
          --quick      networks below 100 MB, fewer repetitions: about a minute
          --device N   the GPU's number (default: the first that can be used)
          --dry-run    lists what would be run; needs no GPU
        """;

    /// <summary>Runs the command.</summary>
    public static int Run(IEnumerable<string> args, TextWriter output)
    {
        var arguments = new Arguments(args, Usage);
        var folder = arguments.Text("--out") ?? ".";
        var peer = arguments.Text("--peer");
        var isQuick = arguments.Flag("--quick");
        var index = arguments.Number("--device");
        var isDryRun = arguments.Flag("--dry-run");
        arguments.RequireNoMore();
        var networks = isQuick ? BenchNetworks.Quick : BenchNetworks.All;
        if (isDryRun)
        {
            List(networks, peer, output);
            return Exit.Success;
        }

        if (peer is not null && !File.Exists(peer))
        {
            throw new UsageException($"--peer: there is no file {peer}.\n{Usage}");
        }

        // Finding the device initialises the driver: part of a cold start.
        var clock = Stopwatch.StartNew();
        if (!Devices.Find(index, out var device, out var reason))
        {
            output.WriteLine($"gpubench: {reason} Nothing was measured. --dry-run lists what would be.");
            return Exit.NoDevice;
        }

        Directory.CreateDirectory(folder);
        var report = Measure(device, networks, peer, isQuick, new TimeBudget(Limit), clock.Elapsed, output);
        Write(report, folder, output);
        return Exit.Success;
    }

    /// <summary>Says what a run would do.</summary>
    public static void List(IReadOnlyList<BenchNetwork> networks, string? peer, TextWriter output)
    {
        output.WriteLine($"gpubench {Build.Version}: what a run does, within {Limit.TotalMinutes:0} minutes");
        output.WriteLine($"- cold start: driver, context, kernels, first step of {ColdNetwork}");
        output.WriteLine("- copy within the device: the ceiling, before and after the networks");
        foreach (var network in networks)
        {
            output.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"- {network.Name}: {network.Bytes / 1e6:F1} MB in {network.Network.Weights.Count} weights, {network.Network.FreeChannelCount} channels; step, step as a graph, solve; CPU step and solve; about {network.Seconds:F0} s at most"));
        }

        output.WriteLine(peer is null
            ? "- no reference implementation (--peer FILE)"
            : $"- reference implementation, by python3 with torch: {string.Join(", ", networks.Where(n => n.Peer.Kind is not null).Select(n => n.Name))}");
    }

    /// <summary>Writes gpubench.md and gpubench.json.</summary>
    public static void Write(BenchReport report, string folder, TextWriter output)
    {
        using (var markdown = new StreamWriter(Path.Combine(folder, "gpubench.md")) { NewLine = "\n" })
        {
            BenchMarkdown.Write(report, markdown);
        }

        File.WriteAllText(Path.Combine(folder, "gpubench.json"), JsonSerializer.Serialize(report, BenchDocuments.Default.BenchReport) + "\n");
        BenchMarkdown.Write(report, output);
    }

    private static BenchReport Measure(
        CudaDevice device, IReadOnlyList<BenchNetwork> networks, string? peer, bool isQuick, TimeBudget budget, TimeSpan found, TextWriter output)
    {
        var leftOut = new List<BenchOmission>();
        var rows = new List<BenchRow>();

        // Elements first: generating them is not part of a cold start.
        var cold = networks.First(n => n.Name == ColdNetwork);
        var coldElements = cold.CreateElements();
        var clock = Stopwatch.StartNew();
        BenchColdStart coldStart;
        BenchCopy copy;
        using (var queue = CudaQueue.OnDevice(device.Index))
        {
            var gpu = new GpuMeasurements(queue, isQuick);
            coldStart = gpu.ColdStart(cold, coldElements, (found + clock.Elapsed).TotalSeconds);
            var (bytes, before) = gpu.Copy();
            copy = new BenchCopy(bytes, before, null);
            foreach (var network in networks)
            {
                if (!budget.Allows(network.Seconds + Reserve))
                {
                    leftOut.Add(new BenchOmission(network.Name, TimeIsUp(budget)));
                    continue;
                }

                output.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{budget.Elapsed.TotalSeconds,4:F0} s: {network.Name}"));
                output.Flush();
                rows.Add(Row(network, gpu, isQuick, budget, leftOut));
            }

            if (budget.Allows(1))
            {
                copy = copy with { After = gpu.Copy().BytesPerSecond };
            }
        }

        var answer = peer is null ? null
            : budget.Allows(PeerSeconds) ? Peer.Measure(peer, device.Index, networks, TimeSpan.FromSeconds(PeerSeconds), isQuick)
            : new PeerAnswer(null, new Dictionary<string, double>(), [new BenchOmission("the reference implementation", TimeIsUp(budget))]);
        return new BenchReport
        {
            Machine = MachineFacts.Of(device, CudaDevices.List()),
            Copy = copy,
            ColdStart = coldStart,
            Networks = [.. rows.Select(r => answer?.Steps.TryGetValue(r.Network, out var step) == true ? r with { PeerStep = step } : r)],
            LeftOut = [.. leftOut, .. answer?.LeftOut ?? []],
            Peer = answer?.Peer,
            Seconds = budget.Elapsed.TotalSeconds,
        };
    }

    private static BenchRow Row(BenchNetwork network, GpuMeasurements gpu, bool isQuick, TimeBudget budget, List<BenchOmission> leftOut)
    {
        var row = new BenchRow(network.Name, network.Bytes);
        var elements = network.CreateElements();
        try
        {
            var (solve, step) = gpu.Network(network, elements);
            row = row with { Solve = solve, Step = step };
        }
        catch (CudaException e) when (e.Kind == CudaErrorKind.OutOfMemory)
        {
            leftOut.Add(new BenchOmission($"{network.Name} on the GPU", $"it does not fit: {e.Message}"));
        }

        if (CpuMeasurements.WhyNot(network) is { } why)
        {
            leftOut.Add(new BenchOmission($"{network.Name} on the CPU", why));
        }
        else if (!budget.Allows(network.Seconds / 2 + Reserve))
        {
            leftOut.Add(new BenchOmission($"{network.Name} on the CPU", TimeIsUp(budget)));
        }
        else
        {
            row = row with { Cpu = CpuMeasurements.Network(network, elements, isQuick) };
        }

        return row;
    }

    private static string TimeIsUp(TimeBudget budget) => string.Create(
        CultureInfo.InvariantCulture, $"{budget.Left.TotalSeconds:F0} s of {Limit.TotalMinutes:0} minutes were left");
}
