using BenchmarkDotNet.Attributes;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Bench;

/// <summary>Reading, analysing and writing an ONNX file of eight dense layers; the weights lie within the file.</summary>
public class OnnxBenchmark
{
    private DirectoryInfo _folder = null!;
    private string _input = "";
    private OnnxModel _model = null!;
    private OnnxNetwork _network = null!;
    private Scalings _identity = null!;

    /// <summary>Width of the layers: 32 KB, 8 MB and 128 MB of weights.</summary>
    [Params(32, 512, 2048)]
    public int Width { get; set; }

    /// <summary>Writes the model.</summary>
    [GlobalSetup]
    public void Setup()
    {
        const int layers = 8;
        _folder = Directory.CreateTempSubdirectory("equinorm-bench-");
        var random = new Random(1);
        var writer = new OnnxModelWriter().Input("h0", -1, Width);
        for (var n = 0; n < layers; n++)
        {
            var elements = new float[Width * Width];
            foreach (ref var element in elements.AsSpan())
            {
                element = random.NextSingle() - 0.5f;
            }

            writer.Floats($"w{n}", [Width, Width], elements).Node("MatMul", [$"h{n}", $"w{n}"], [$"x{n}"]).Node("Relu", [$"x{n}"], [$"h{n + 1}"]);
        }

        _input = writer.Output($"h{layers}", -1, Width).Save(Path.Combine(_folder.FullName, "in.onnx"));
        _model = OnnxModel.Open(_input);
        _network = _model.Analyze();
        _identity = Scalings.Identity(_network.Network);
    }

    /// <summary>Map the file, find everything in it, and the channel groups.</summary>
    [Benchmark]
    public int OpenAndAnalyze()
    {
        using var model = OnnxModel.Open(_input);
        using var network = model.Analyze();
        return network.Network.Groups.Count;
    }

    /// <summary>Read every element once: a solve without a sweep to make would do that.</summary>
    [Benchmark]
    public double Read() => Solve.RescalingSolver.Solve(new RescalingProblem(_network.Network), _network.Tensors, new RescalingOptions { MaxSweeps = 1 }).Objective;

    /// <summary>Write the file with every weight multiplied by 1.</summary>
    [Benchmark]
    public int Save() => _network.Save(Path.Combine(_folder.FullName, "out.onnx"), _identity).Copies;

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _network.Dispose();
        _model.Dispose();
        _folder.Delete(recursive: true);
    }
}
