using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>Solves on the device against solves on the CPU.</summary>
internal static class SolveChecks
{
    // Two solves to a certified gap of 1e-8 differ by at most the sum of their gaps.
    private const double GapTolerance = 2.1e-8;

    // Both devices sum in float64; only the order of additions differs.
    private const double SumTolerance = 1e-12;

    private const double FactorTolerance = 1e-5;

    // Log factors are only as good as the balance that the solve reached: a channel that is off by r moves its neighbours by some r.
    private const double FactorsPerResidual = 1e3;

    private static readonly RescalingOptions Tight = new() { Tolerance = 1e-13, MaxSweeps = 300 };

    /// <summary>
    /// One problem: to the default tolerance on poisoned memory, again on memory as it comes (same bits demanded), and to a tight tolerance,
    /// at which the factors are compared too.
    /// </summary>
    public static void Run(CheckGroup group, CheckDevice device, HostNetwork network, RescalingProblem problem, string context)
    {
        using var cpu = new CpuBackend(1);
        var expected = RescalingSolver.Solve(problem, network.Tensors, backend: cpu);
        var first = Solve(device.OpenPoisoned(), network, problem, RescalingOptions.Default);
        var second = Solve(device.Open(), network, problem, RescalingOptions.Default);
        group.That(first.Status == expected.Status, $"{context}: {first.Status} instead of {expected.Status}");
        group.SameObjective(expected.ObjectiveBefore, first.ObjectiveBefore, SumTolerance, $"{context}, before");
        group.SameObjective(expected.Objective, first.Objective, GapTolerance, context);
        group.That(
            first.Frozen.Select(f => (f.Group.Index, f.Channel)).SequenceEqual(expected.Frozen.Select(f => (f.Group.Index, f.Channel))),
            $"{context}: {first.Frozen.Count} channels are frozen instead of {expected.Frozen.Count}, or others");
        group.That(SameBits(first, second), $"{context}: a second run, on other memory, gives other bits");
        if (first.Scalings is null || expected.Scalings is null)
        {
            group.That(first.Scalings is null == expected.Scalings is null, $"{context}: one of two has no factors");
            return;
        }

        var tight = RescalingSolver.Solve(problem, network.Tensors, Tight, cpu);
        var actual = Solve(device.Open(), network, problem, Tight);
        var reached = Math.Max(tight.Residual, actual.Residual);
        group.SameObjective(tight.Objective, actual.Objective, 1e-11, $"{context}, tight");
        group.SameFactors(
            tight.Scalings!.LogFactors, actual.Scalings!.LogFactors, Math.Max(FactorTolerance, FactorsPerResidual * reached), $"{context}, tight");
        group.That(
            actual.Residual <= Math.Max(1e-5, 10 * tight.Residual),
            FormattableString.Invariant($"{context}, tight: residual {actual.Residual:G3}, on the CPU {tight.Residual:G3}"));
    }

    /// <summary>Tensors on the device that begin a few bytes behind an aligned address.</summary>
    public static void Misaligned(CheckGroup group, CheckDevice device, HostNetwork network, RescalingProblem problem, int bytes, string context)
    {
        using var cpu = new CpuBackend(1);
        var expected = RescalingSolver.Solve(problem, network.Tensors, backend: cpu);
        using var queue = device.OpenPoisoned();
        using var tensors = new DeviceTensors(network.Tensors, queue, bytes);
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        var actual = RescalingSolver.Solve(problem, tensors.Tensors, backend: backend);
        group.That(actual.Status == expected.Status, $"{context}: {actual.Status} instead of {expected.Status}");
        group.SameObjective(expected.ObjectiveBefore, actual.ObjectiveBefore, SumTolerance, $"{context}, before");
        group.SameObjective(expected.Objective, actual.Objective, GapTolerance, context);
        if (actual.Scalings is not { } scalings)
        {
            return;
        }

        // Applied where they are, by either device.
        using var here = network.Copy();
        using var there = network.Copy();
        RescalingSolver.Apply(scalings, here.Tensors, cpu);
        RescalingSolver.Apply(scalings, tensors.Tensors, backend);
        tensors.Download(there.Tensors);
        foreach (var weight in network.Network.Weights.Where(w => network.Tensors.IsBound(w.Index)))
        {
            var at = Elements.FirstDifferentByte(here.Tensors[weight.Index], there.Tensors[weight.Index]);
            group.That(at < 0, $"{context}: '{weight.Name}' differs at byte {at} after applying the factors");
        }
    }

    private static RescalingResult Solve(IDeviceQueue queue, HostNetwork network, RescalingProblem problem, RescalingOptions options)
    {
        using IBackend backend = new GpuBackend(queue, TensorLocation.Host, ownsQueue: true);
        return RescalingSolver.Solve(problem, network.Tensors, options, backend);
    }

    private static bool SameBits(RescalingResult a, RescalingResult b) =>
        a.Objective.Equals(b.Objective) && a.Residual.Equals(b.Residual) && a.Sweeps.Equals(b.Sweeps)
        && (a.Scalings is null ? b.Scalings is null : b.Scalings is not null && a.Scalings.LogFactors.SequenceEqual(b.Scalings.LogFactors));
}
