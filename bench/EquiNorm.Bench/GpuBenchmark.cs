using BenchmarkDotNet.Attributes;
using EquiNorm.Gpu;
using EquiNorm.Gpu.Bench;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Step;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Bench;

/// <summary>
/// Step and solve on the first GPU that can be used, tensors on the device, wall time with the wait at the end. Left out, with a message, where
/// there is none. bench/gpu takes the figures for the README, by CUDA events and beside the copy bandwidth.
/// </summary>
[Config(typeof(BytesConfig))]
public class GpuBenchmark
{
    private CudaQueue _queue = null!;
    private GpuBackend _backend = null!;
    private DeviceTensors _solved = null!;
    private DeviceTensors _stepped = null!;
    private RescalingProblem _problem = null!;
    private GpuStepper _stepper = null!;
    private CudaGraph _graph = null!;

    /// <summary>Which network.</summary>
    [ParamsSource(nameof(NetworkNames))]
    public string Network { get; set; } = "";

    /// <summary>All of them.</summary>
    public static IEnumerable<string> NetworkNames => StandardNetworks.Names;

    /// <summary>The device; null if there is none.</summary>
    public static CudaDevice? Device => CudaDevices.List().Devices.FirstOrDefault(d => d.IsSupported);

    /// <summary>Why there is no device.</summary>
    public static string WhyNone
    {
        get
        {
            var list = CudaDevices.List();
            return list.WhyEmpty ?? string.Join("; ", list.Devices.Select(d => $"{d.Name}: {d.WhyUnsupported}"));
        }
    }

    /// <summary>Generates the network and copies it to the device.</summary>
    [GlobalSetup]
    public void Setup()
    {
        var network = StandardNetworks.Create(Network);
        using var host = network.Bind();
        _queue = CudaQueue.OnDevice((Device ?? throw new InvalidOperationException($"There is no GPU: {WhyNone}")).Index);
        _backend = new GpuBackend(_queue, TensorLocation.Device);
        _problem = new RescalingProblem(network.Network);

        // Steps write the weights: they get a copy, so that every solve starts from the same ones.
        _solved = new DeviceTensors(host, _queue);
        _stepped = new DeviceTensors(host, _queue);
        _stepper = new GpuStepper(_problem, _stepped.Tensors, _queue);
        _stepper.Prepare();
        _graph = _queue.Capture(_stepper.Step);
    }

    /// <summary>A step as launches.</summary>
    [Benchmark(Baseline = true)]
    public void Step()
    {
        _stepper.Step();
        _queue.Synchronize();
    }

    /// <summary>A step as one launch of a CUDA graph.</summary>
    [Benchmark]
    public void StepGraph()
    {
        _graph.Launch();
        _queue.Synchronize();
    }

    /// <summary>Plan, read, sweeps, certificate.</summary>
    [Benchmark]
    public double Solve() => RescalingSolver.Solve(_problem, _solved.Tensors, backend: _backend).Objective;

    /// <summary>Frees everything.</summary>
    [GlobalCleanup]
    public void Cleanup()
    {
        _graph.Dispose();
        _stepper.Dispose();
        _stepped.Dispose();
        _solved.Dispose();
        _queue.Dispose();
    }
}
