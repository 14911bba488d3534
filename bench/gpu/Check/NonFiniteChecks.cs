using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Step;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>A NaN or an infinity is named by a solve, and a step leaves everything as it was.</summary>
internal static class NonFiniteChecks
{
    public static void Run(CheckGroup group, CheckDevice device, HostNetwork network, string context)
    {
        using var cpu = new CpuBackend(1);
        using var queue = device.OpenPoisoned();
        using var gpu = new GpuBackend(queue);
        var problem = new RescalingProblem(network.Network);
        var expected = RescalingSolver.Solve(problem, network.Tensors, backend: cpu);
        var actual = RescalingSolver.Solve(problem, network.Tensors, backend: gpu);
        group.That(actual.Status == RescalingStatus.NonFinite, $"{context}: {actual.Status}");
        group.That(Place(actual) == Place(expected), $"{context}: found at {Place(actual)} instead of {Place(expected)}");

        using var tensors = new DeviceTensors(network.Tensors, queue);
        using var stepper = new GpuStepper(problem, tensors.Tensors, queue);
        stepper.Step();
        group.That(stepper.ReadReport().Outcome == StepOutcome.NonFinite, $"{context}: the step does not notice");
        using var after = network.Copy();
        tensors.Download(after.Tensors);
        group.That(
            network.Network.Weights.All(w => Elements.FirstDifferentByte(network.Tensors[w.Index], after.Tensors[w.Index]) < 0),
            $"{context}: the step changed elements");
    }

    private static (string? Weight, int Output, int Input, int Kernel) Place(RescalingResult result) =>
        result.NonFinite is { } e ? (e.Weight.Name, e.Output, e.Input, e.Kernel) : default;
}
