using BenchmarkDotNet.Attributes;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench;

/// <summary>A solve to a certified gap of 1e-8, and applying it, against the memory floor of ONE step.</summary>
[Config(typeof(BytesConfig))]
public class SolveBenchmark
{
    private GeneratedNetwork _network = null!;
    private NetworkTensors _tensors = null!;
    private CpuBackend _backend = null!;
    private MemoryFloor _floor = null!;
    private Scalings _identity = null!;

    /// <summary>Which network.</summary>
    [ParamsSource(nameof(NetworkNames))]
    public string Network { get; set; } = "";

    /// <summary>All of them.</summary>
    public static IEnumerable<string> NetworkNames => StandardNetworks.Names;

    /// <summary>Threads, the caller's included: of the solve and of the floor.</summary>
    [ParamsSource(nameof(ThreadCounts))]
    public int Threads { get; set; }

    /// <summary>1, 2, 4, ... and all.</summary>
    public static IEnumerable<int> ThreadCounts => RunFacts.ThreadCounts();

    /// <summary>Generates the network.</summary>
    [GlobalSetup]
    public void Setup()
    {
        _network = StandardNetworks.Create(Network);
        _tensors = _network.Bind();
        _backend = new CpuBackend(Threads);
        _floor = new MemoryFloor(_network, _backend);
        _identity = Scalings.Identity(_network.Network);
    }

    /// <summary>3 |W| bytes.</summary>
    [Benchmark(Baseline = true)]
    public double Floor() => _floor.Step();

    /// <summary>Plan, read, sweeps, certificate.</summary>
    [Benchmark]
    public double Solve() => RescalingSolver.Solve(new RescalingProblem(_network.Network), _tensors, null, _backend).Objective;

    /// <summary>Solve, then multiply every weight (by 1, so that each run starts from the same weights).</summary>
    [Benchmark]
    public double SolveAndApply()
    {
        var objective = Solve();
        RescalingSolver.Apply(_identity, _tensors, _backend);
        return objective;
    }

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _floor.Dispose();
        _tensors.Dispose();
        _backend.Dispose();
    }
}
