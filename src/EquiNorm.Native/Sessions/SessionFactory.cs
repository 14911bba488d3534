using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Embedding;
using EquiNorm.Gpu;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Networks;
using EquiNorm.Problem;

namespace EquiNorm.Native.Sessions;

/// <summary>Makes sessions from en_options.</summary>
internal static class SessionFactory
{
    // More are of no use to anybody, and each takes a stack.
    private const int MostThreads = 1024;

    public static NativeSession Create(NativeNetwork network, in OptionsStruct options)
    {
        RequireFinite(options.P, "p");
        RequireFinite(options.C, "c");
        var problem = new RescalingProblem(network.Network)
        {
            Norm = options.P,
            Penalty = Penalty(options),
            BiasNorm = Flag(options.CountBiases, "count_biases") ? BiasNorm.Included : BiasNorm.Excluded,
        };
        var session = new SessionOptions
        {
            Every = Within(options.Every, 1, int.MaxValue, "every"),
            Step = new StepOptions
            {
                Sweeps = Within(options.SweepsPerStep, 1, int.MaxValue, "sweeps_per_step"),
                CoarseCorrection = Flag(options.CoarseCorrection, "coarse_correction") ? CoarseCorrection.On : CoarseCorrection.Off,
            },
        };
        Within(options.Threads, 0, MostThreads, "threads");
        Within(options.Reserved, 0, 0, "reserved");
        return new NativeSession(network, new RescalingSession(problem, Backend(options), session, ownsBackend: true));
    }

    private static IBackend Backend(in OptionsStruct options) => options.DeviceKind switch
    {
        DeviceKinds.Cpu => new CpuBackend(options.Threads),
        DeviceKinds.Cuda => new GpuBackend(
            CudaQueue.OnStream(Within(options.DeviceIndex, 0, int.MaxValue, "device_index"), 0), TensorLocation.Device, ownsQueue: true),
        _ => throw Refuse("device_kind", options.DeviceKind, "EN_CPU or EN_CUDA"),
    };

    private static WeightPenalty Penalty(in OptionsStruct options) => options.Penalty switch
    {
        PenaltyKind.Uniform => WeightPenalty.Uniform,
        PenaltyKind.Size => WeightPenalty.Size,
        PenaltyKind.Depth => WeightPenalty.Depth(options.C),
        _ => throw Refuse("penalty", options.Penalty, "one of en_penalty"),
    };

    private static void RequireFinite(double value, string field)
    {
        if (!double.IsFinite(value) || value <= 0)
        {
            throw Refuse(field, value, "positive and finite");
        }
    }

    private static bool Flag(int value, string field) => Within(value, 0, 1, field) == 1;

    private static int Within(int value, int least, int most, string field) =>
        value >= least && value <= most ? value : throw Refuse(field, value, least == most ? $"{least}" : $"from {least} to {most}");

    private static NativeException Refuse<T>(string field, T value, string expected) =>
        NativeException.Argument($"en_options.{field} is {value}; it must be {expected}.");
}
