using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench;

/// <summary>One training step (a sweep and apply) against the memory floor: the ratio column is the figure of merit.</summary>
[Config(typeof(BytesConfig))]
public class StepBenchmark
{
    private GeneratedNetwork _network = null!;
    private CpuBackend _backend = null!;
    private RescalingStepper _stepper = null!;
    private MemoryFloor _floor = null!;

    /// <summary>Which network.</summary>
    [ParamsSource(nameof(NetworkNames))]
    public string Network { get; set; } = "";

    /// <summary>All of them.</summary>
    public static IEnumerable<string> NetworkNames => StandardNetworks.Names;

    /// <summary>Threads, the caller's included: of the step and of the floor.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>1, 2, 4, ... and all.</summary>
    public static IEnumerable<int> ThreadCounts => RunFacts.ThreadCounts();

    /// <summary>Whether every weight has a momentum that moves with it.</summary>
    [Params(false, true)]
    public bool Momentum { get; set; }

    /// <summary>Generates the network.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _network = StandardNetworks.Create(Network);
        _backend = new CpuBackend(Threads);
        var tensors = _network.Bind();
        var momentum = Momentum ? _network.CreateMomentum() : [];
        if (Momentum)
        {
            _network.BindMomentum(tensors, momentum);
        }

        _stepper = new RescalingStepper(new RescalingProblem(_network.Network), tensors, _backend);
        _floor = new MemoryFloor(_network, _backend, momentum);
    }

    /// <summary>3 |W| bytes, 5 |W| with momentum.</summary>
    [Benchmark(Baseline = true)]
    public double Floor() => _floor.Step();

    /// <summary>Read, sum, update, apply.</summary>
    [Benchmark]
    public double Step() => _stepper.Step().Residual;

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _floor.Dispose();
        _stepper.Dispose();
        _backend.Dispose();
    }
}
