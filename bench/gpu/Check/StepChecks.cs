using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Step;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Steps on tensors of the device against steps on the CPU.</summary>
internal static class StepChecks
{
    private const int ReplayedSteps = 3;

    // Both devices end Newton's method where the objective no longer falls, so at half the digits at worst. In some hundred random networks nearly
    // all agreed within 1e-9; 1.2e-9 was seen with a penalty, 4e-8 where dead channels leave groups that hardly anything holds.
    private const double FactorTolerance = 1e-7;
    private const double FactorToleranceOfDead = 1e-6;

    /// <summary>One step: objective, factors, the elements that it leaves, and the same bits a second time.</summary>
    public static void Run(CheckGroup group, CheckDevice device, HostNetwork network, RescalingProblem problem, string context, int misalignment = 0)
    {
        using var cpu = new CpuBackend(1);
        using var stepped = network.Copy();
        using var stepper = new RescalingStepper(problem, stepped.Tensors, cpu);
        var expected = stepper.Step();

        using var first = network.Copy();
        var (report, scalings, corrects) = Step(device.OpenPoisoned(), problem, first, misalignment);
        group.That(report.Outcome != StepOutcome.NonFinite, $"{context}: the step says that a weight is not finite");
        group.SameObjective(expected.ObjectiveBefore, report.ObjectiveBefore, 1e-12, context);

        // The step on the device does not look for channels that are merely disconnected, and leaves out the correction of very many groups.
        if (corrects && report.FrozenChannels == expected.FrozenChannels)
        {
            group.SameFactors(stepper.ReadScalings().LogFactors, scalings.LogFactors, report.FrozenChannels > 0 ? FactorToleranceOfDead : FactorTolerance, context);
        }
        else
        {
            group.Skip();
        }

        // The function is kept if every element is multiplied by the factors that are reported, and by nothing else.
        using var scaled = network.Copy();
        RescalingSolver.Apply(scalings, scaled.Tensors, cpu);
        foreach (var weight in network.Network.Weights.Where(w => network.Tensors.IsBound(w.Index)))
        {
            var at = Elements.FirstDifference(scaled.Tensors[weight.Index], first.Tensors[weight.Index]);
            group.That(at < 0, at < 0 ? "" : FormattableString.Invariant(
                $"{context}: element {at} of '{weight.Name}' ({weight.ElementType}), {Elements.Read(network.Tensors[weight.Index], at):R}, became {Elements.Read(first.Tensors[weight.Index], at):R} instead of {Elements.Read(scaled.Tensors[weight.Index], at):R}"));
        }

        using var second = network.Copy();
        _ = Step(device.Open(), problem, second, misalignment);
        group.That(SameBits(network, first, second), $"{context}: a second run, on other memory, gives other bits");
    }

    /// <summary>Steps one by one, and the same steps as launches of a CUDA graph.</summary>
    public static void Replay(CheckGroup group, CudaQueue queue, HostNetwork network, RescalingProblem problem, string context)
    {
        using var plain = network.Copy();
        using (var tensors = new DeviceTensors(network.Tensors, queue))
        using (var stepper = new GpuStepper(problem, tensors.Tensors, queue))
        {
            for (var n = 0; n < ReplayedSteps; n++)
            {
                stepper.Step();
            }

            tensors.Download(plain.Tensors);
        }

        using var replayed = network.Copy();
        using (var tensors = new DeviceTensors(network.Tensors, queue))
        using (var stepper = new GpuStepper(problem, tensors.Tensors, queue))
        {
            stepper.Prepare();
            using var graph = queue.Capture(stepper.Step);
            group.That(
                graph.Captured == new QueueCounters(stepper.LaunchesPerStep, 0, 0, 0),
                $"{context}: a step was captured as {graph.Captured}, {stepper.LaunchesPerStep} launches were expected");
            for (var n = 0; n < ReplayedSteps; n++)
            {
                graph.Launch();
            }

            tensors.Download(replayed.Tensors);
        }

        group.That(SameBits(network, plain, replayed), $"{context}: {ReplayedSteps} launches of the graph leave other bits than {ReplayedSteps} steps");
        group.That(!SameBits(network, network, replayed), $"{context}: the graph changed nothing");
    }

    private static (StepReport Report, Scalings Scalings, bool Corrects) Step(
        IDeviceQueue queue, RescalingProblem problem, HostNetwork network, int misalignment)
    {
        using (queue)
        {
            using var tensors = new DeviceTensors(network.Tensors, queue, misalignment);
            using var stepper = new GpuStepper(problem, tensors.Tensors, queue);
            stepper.Step();
            var result = (stepper.ReadReport(), stepper.ReadScalings(), stepper.CorrectsGroups);
            tensors.Download(network.Tensors);
            return result;
        }
    }

    private static bool SameBits(HostNetwork network, HostNetwork a, HostNetwork b) => network.Network.Weights
        .Where(w => network.Tensors.IsBound(w.Index))
        .All(w => Elements.FirstDifferentByte(a.Tensors[w.Index], b.Tensors[w.Index]) < 0);
}
