using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench;

/// <summary>Step, solve and apply of a chain of eight dense layers from 1 KB to 2 GB of weights, with one thread and with all.</summary>
public class SizeBenchmark
{
    private CpuBackend _backend = null!;
    private MemoryFloor _floor = null!;
    private RescalingProblem _problem = null!;
    private RescalingStepper _stepper = null!;
    private Model.NetworkTensors _tensors = null!;
    private Scalings _identity = null!;

    /// <summary>Bytes of all weights, nearly: 1 KB, 32 KB, 1 MB, 32 MB, 256 MB, 2 GB.</summary>
    [Params(1L << 10, 1L << 15, 1L << 20, 1L << 25, 1L << 28, 1L << 31)]
    public long Bytes { get; set; }

    /// <summary>Threads, the caller's included: one, and all.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>Networks of one shape, so the two ends are enough; what is between them is in step and solve.</summary>
    public static IEnumerable<int> ThreadCounts => new[] { 1, Environment.ProcessorCount }.Distinct();

    /// <summary>Generates the network.</summary>
    [GlobalSetup]
    public void Setup()
    {
        const int layers = 8;
        const int period = 65521; // a prime, so that rows differ
        var width = (int)Math.Round(Math.Sqrt(Bytes / sizeof(float) / layers));
        var network = StandardNetworks.DenseChain([.. Enumerable.Repeat(width, layers + 1)], seed: 1, period);
        _backend = new CpuBackend(Threads);
        _tensors = network.Bind();
        _floor = new MemoryFloor(network, _backend);
        _problem = new RescalingProblem(network.Network);
        _stepper = new RescalingStepper(_problem, _tensors, _backend);
        _identity = Scalings.Identity(network.Network);
    }

    /// <summary>3 |W| bytes.</summary>
    [Benchmark(Baseline = true)]
    public double Floor() => _floor.Step();

    /// <summary>One sweep, applied.</summary>
    [Benchmark]
    public double Step() => _stepper.Step().Residual;

    /// <summary>To a certified gap of 1e-8, from channels that are unequal by exp(N(0, 1.5^2)).</summary>
    [Benchmark]
    public double Solve() => RescalingSolver.Solve(_problem, _tensors, null, _backend).Objective;

    /// <summary>Every weight times 1: 2 |W| bytes.</summary>
    [Benchmark]
    public void Apply() => RescalingSolver.Apply(_identity, _tensors, _backend);

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _floor.Dispose();
        _stepper.Dispose();
        _tensors.Dispose();
        _backend.Dispose();
    }
}
