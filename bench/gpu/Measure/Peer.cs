using System.ComponentModel;
using System.Diagnostics;
using System.Text.Json;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>What the embedded script is asked for.</summary>
internal sealed record PeerRequest(int Device, double Seconds, IReadOnlyList<PeerRequestNetwork> Networks);

/// <summary>One network of it.</summary>
internal sealed record PeerRequestNetwork(string Name, string Kind, IReadOnlyList<int[]> Shapes);

/// <summary>What came of it: times by network, or why there are none.</summary>
internal sealed record PeerAnswer(BenchPeer? Peer, IReadOnlyDictionary<string, double> Steps, IReadOnlyList<BenchOmission> LeftOut);

/// <summary>The reference implementation, run by python3 with torch in a process of its own.</summary>
internal static class Peer
{
    private const string What = "the reference implementation";

    /// <summary>Measures the networks that it takes.</summary>
    public static PeerAnswer Measure(string file, int device, IEnumerable<BenchNetwork> networks, TimeSpan limit, bool isQuick)
    {
        var all = networks.ToList();
        List<BenchOmission> leftOut = [.. all.Where(n => n.Peer.Kind is null).Select(n => new BenchOmission($"{What} on {n.Name}", n.Peer.WhyNot!))];
        var taken = all.Where(n => n.Peer.Kind is not null).Select(n => new PeerRequestNetwork(n.Name, n.Peer.Kind!, n.Peer.Shapes)).ToList();
        var folder = Directory.CreateTempSubdirectory("gpubench-");
        try
        {
            var script = Path.Combine(folder.FullName, "peer.py");
            var request = Path.Combine(folder.FullName, "request.json");
            File.WriteAllText(script, Script());
            File.WriteAllText(request, JsonSerializer.Serialize(new PeerRequest(device, isQuick ? 1 : 5, taken), BenchDocuments.Default.PeerRequest));
            var answer = Read(Path.GetFileName(file), Run(["python3", script, Path.GetFullPath(file), request], limit));
            return answer with { LeftOut = [.. leftOut, .. answer.LeftOut] };
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    /// <summary>Reads what the script printed: its last line is a JSON object.</summary>
    public static PeerAnswer Read(string file, (string Output, string? Failure) run)
    {
        var line = run.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault(l => l.StartsWith('{'));
        if (line is null)
        {
            return Nothing(run.Failure ?? "it printed no result");
        }

        using var document = JsonDocument.Parse(line);
        var root = document.RootElement;
        if (root.TryGetProperty("error", out var error))
        {
            return Nothing(error.GetString()!);
        }

        var steps = new Dictionary<string, double>();
        var leftOut = new List<BenchOmission>();
        foreach (var network in root.GetProperty("networks").EnumerateArray())
        {
            var name = network.GetProperty("name").GetString()!;
            if (network.TryGetProperty("microseconds", out var time))
            {
                steps.Add(name, time.GetDouble() / 1e6);
            }
            else
            {
                leftOut.Add(new BenchOmission($"{What} on {name}", network.GetProperty("error").GetString()!));
            }
        }

        return new PeerAnswer(new BenchPeer(file, root.GetProperty("torch").GetString()!, root.GetProperty("device").GetString()!), steps, leftOut);
    }

    private static PeerAnswer Nothing(string why) => new(null, new Dictionary<string, double>(), [new BenchOmission(What, why)]);

    private static string Script()
    {
        using var reader = new StreamReader(typeof(Peer).Assembly.GetManifestResourceStream("peer.py")!);
        return reader.ReadToEnd();
    }

    private static (string Output, string? Failure) Run(string[] command, TimeSpan limit)
    {
        try
        {
            using var process = Process.Start(new ProcessStartInfo(command[0], command[1..]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var output = process.StandardOutput.ReadToEndAsync();
            var error = process.StandardError.ReadToEndAsync();
            if (!process.WaitForExit(limit))
            {
                process.Kill(entireProcessTree: true);
                return ("", FormattableString.Invariant($"it had not ended after {limit.TotalSeconds:F0} s"));
            }

            var last = error.Result.Split('\n', StringSplitOptions.RemoveEmptyEntries).LastOrDefault();
            return (output.Result, last);
        }
        catch (Win32Exception e)
        {
            return ("", $"python3 cannot be started: {e.Message}");
        }
    }
}
