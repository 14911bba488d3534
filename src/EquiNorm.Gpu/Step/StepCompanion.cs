using EquiNorm.Model;

namespace EquiNorm.Gpu.Step;

/// <summary>What a tensor that moves with a weight holds; decides the power of the weight's factor s that it is multiplied by.</summary>
public enum CompanionKind
{
    /// <summary>A copy of the parameter (a moving average, a float32 master copy): s.</summary>
    Copy,

    /// <summary>A gradient or a first moment (momentum, exp_avg) in the new parametrisation: 1/s.</summary>
    FirstMoment,

    /// <summary>A second moment (exp_avg_sq, a square average): 1/s^2.</summary>
    SecondMoment,
}

/// <summary>A tensor of the shape of a weight that must be rescaled with it.</summary>
/// <param name="Weight">Name of the weight.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Memory">Its elements, laid out as the weight's.</param>
public readonly record struct StepCompanion(string Weight, CompanionKind Kind, TensorMemory Memory);
