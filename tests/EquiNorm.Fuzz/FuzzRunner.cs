using System.Diagnostics;
using EquiNorm.Backends.Cpu;
using EquiNorm.Description;
using EquiNorm.Files.Verification;
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;
using EquiNorm.Safetensors;
using EquiNorm.Solve;

namespace EquiNorm.Fuzz;

/// <summary>
/// Runs a case from the file to the verified output: open, analyse, solve, write, verify. Allowed are the documented exceptions and an output that is a
/// rescaling of the input. Findings: any other exception, an output that is none, files that are left behind, more than 5 seconds (twice in
/// a row), and more than 10 times the size of the files + 64 MB of managed allocations (all of them together, not at one time; all threads).
/// </summary>
public sealed class FuzzRunner(string directory) : IDisposable
{
    /// <summary>A case that takes longer hangs.</summary>
    public static readonly TimeSpan LongestTime = TimeSpan.FromSeconds(5);

    /// <summary>Allocations that a case may have beyond 10 times the size of its files.</summary>
    public const long FreeAllocation = 64 << 20;

    private const int AllocationFactor = 10;
    private readonly CpuBackend _backend = new(1);

    /// <summary>The largest allocation of a case so far, and the longest time.</summary>
    public (long Bytes, TimeSpan Time) Largest { get; private set; }

    /// <summary>Runs a case.</summary>
    /// <param name="files">The case.</param>
    /// <param name="outcome">What came of it, if it is no finding.</param>
    /// <returns>The finding, or null.</returns>
    public FuzzFinding? Run(FuzzCase files, out FuzzOutcome outcome)
    {
        // The machine may have stood still for as long: only a case that takes long twice does.
        var finding = RunOnce(files, out outcome, out var elapsed);
        return finding is null || elapsed <= LongestTime ? finding : RunOnce(files, out outcome, out _);
    }

    /// <summary>Releases the backend.</summary>
    public void Dispose() => _backend.Dispose();

    private FuzzFinding? RunOnce(FuzzCase files, out FuzzOutcome outcome, out TimeSpan elapsed)
    {
        outcome = FuzzOutcome.Refused;
        elapsed = TimeSpan.Zero;
        if (Directory.Exists(directory))
        {
            Directory.Delete(directory, recursive: true);
        }

        files.Save(directory);
        long before = GC.GetTotalAllocatedBytes(precise: false);
        var clock = Stopwatch.StartNew();
        try
        {
            outcome = Open(files);
        }
        catch (Exception e) when (e is OnnxFormatException or SafetensorsException or NetworkException)
        {
            if (string.IsNullOrWhiteSpace(e.Message))
            {
                return new FuzzFinding(files, $"{e.GetType().Name} without a message");
            }
        }
        catch (Exception e)
        {
            return new FuzzFinding(files, e.ToString());
        }

        elapsed = clock.Elapsed;
        return Measure(files, GC.GetTotalAllocatedBytes(precise: false) - before, elapsed);
    }

    private FuzzFinding? Measure(FuzzCase files, long allocated, TimeSpan elapsed)
    {
        Largest = (Math.Max(Largest.Bytes, allocated), elapsed > Largest.Time ? elapsed : Largest.Time);
        if (elapsed > LongestTime)
        {
            return new FuzzFinding(files, $"took {elapsed.TotalSeconds:F1} s");
        }

        if (allocated > AllocationFactor * files.Length + FreeAllocation)
        {
            return new FuzzFinding(files, $"allocated {allocated} bytes for files of {files.Length}");
        }

        // Temporary files and locks: everything that is neither a file of the case nor an output.
        string? left = Directory.GetFiles(directory, "*", SearchOption.AllDirectories).Select(f => Path.GetFileName(f))
            .FirstOrDefault(f => f.EndsWith(".tmp", StringComparison.Ordinal) || f.EndsWith(".lock", StringComparison.Ordinal));
        return left is null ? null : new FuzzFinding(files, $"left {left} behind");
    }

    private FuzzOutcome Open(FuzzCase files)
    {
        string first = Path.Combine(directory, files.Files[0].Name);
        return files.Target switch
        {
            FuzzTarget.Onnx => Onnx(first, files.Length), // any number that a case keeps
            FuzzTarget.Safetensors => Safetensors(first, files.Files.First(f => f.Name == FuzzCase.Description).Content),
            _ => Json(files.Files[0].Content),
        };
    }

    private FuzzOutcome Onnx(string path, long number)
    {
        using var model = OnnxModel.Open(path);
        using var network = model.Analyze(new OnnxOptions
        {
            Normalization = (NormalizationHandling)(number % 3),
            SharedWeights = (SharedWeightHandling)(number % 2),
        });
        using var tensors = network.Bind(network.Network);
        if (Solve(tensors) is not { } scalings)
        {
            return FuzzOutcome.Read;
        }

        string target = Path.Combine(directory, "out.onnx");
        var report = network.Save(target, scalings);
        using var output = OnnxModel.Open(target);
        Require(RescalingVerifier.Verify(model, output), report.Underflowed, path, target);
        return FuzzOutcome.Rescaled;
    }

    private FuzzOutcome Safetensors(string path, byte[] description)
    {
        var described = NetworkDescription.Read(description);
        using var model = SafetensorsModel.Open(path);
        using var network = model.Bind(described);
        if (Solve(network.Tensors) is not { } scalings)
        {
            return FuzzOutcome.Read;
        }

        string target = Path.Combine(directory, "out", Path.GetFileName(path));
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        var report = network.Save(target, scalings);
        using var output = SafetensorsModel.Open(target);
        using var bound = output.Bind(described);
        Require(SafetensorsVerifier.Verify(network, bound), report.Underflowed, path, target);
        return FuzzOutcome.Rescaled;
    }

    private static FuzzOutcome Json(byte[] text)
    {
        var network = NetworkDescription.Read(text).Network;
        using var written = new MemoryStream();
        NetworkDescription.Write(network, written);
        return NetworkDescription.Read(written.ToArray()).Network.HasSameWeights(network)
            ? FuzzOutcome.Rescaled
            : throw new InvalidOperationException("The description that was written reads as another network.");
    }

    private Scalings? Solve(NetworkTensors tensors) => RescalingSolver.Solve(
        new RescalingProblem(tensors.Network), tensors, new RescalingOptions { MaxSweeps = 10, Tolerance = 1e-4 }, _backend).Scalings;

    // Elements that underflow, and parameters that were no numbers before, leave nothing to prove; without factors the output must be the input.
    private static void Require(VerificationReport report, long underflowed, string source, string target)
    {
        bool isNumber = report.Worst is not { } worst || (double.IsFinite(worst.Expected) && double.IsFinite(worst.Found));
        if (!report.Same && isNumber && underflowed == 0 && !File.ReadAllBytes(source).AsSpan().SequenceEqual(File.ReadAllBytes(target)))
        {
            throw new InvalidOperationException($"The output is no rescaling of the input: {report.Reason}.");
        }
    }
}
