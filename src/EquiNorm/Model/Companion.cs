namespace EquiNorm.Model;

/// <summary>
/// What a tensor holds that moves with a parameter: the power of the parameter's factor s that it is multiplied by (equi-normalization in
/// training: s is d_out / d_in for a weight, d_out for a bias).
/// </summary>
public enum CompanionKind
{
    /// <summary>A copy of the parameter (a moving average, a float32 master copy), or momentum that keeps its velocity: s.</summary>
    Copy,

    /// <summary>A gradient or a first moment (momentum, exp_avg), as if accumulated in the new parametrisation: 1/s.</summary>
    FirstMoment,

    /// <summary>A second moment (exp_avg_sq, max_exp_avg_sq, a square average): 1/s^2.</summary>
    SecondMoment,
}

/// <summary>A tensor of the shape of a weight or bias that must be rescaled with it.</summary>
/// <param name="Weight">The weight or bias.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Slot">Tells several of one kind apart.</param>
/// <param name="Memory">Its elements.</param>
/// <param name="Layout">Where they lie: extents as the weight's, strides of its own.</param>
public sealed record Companion(Weight Weight, CompanionKind Kind, int Slot, TensorMemory Memory, WeightLayout Layout)
{
    /// <summary>The power of s that it is multiplied by.</summary>
    public int Power => PowerOf(Kind);

    internal static int PowerOf(CompanionKind kind) => kind switch
    {
        CompanionKind.Copy => 1,
        CompanionKind.FirstMoment => -1,
        CompanionKind.SecondMoment => -2,
        _ => throw new ArgumentOutOfRangeException(nameof(kind), kind, "Unknown kind of companion."),
    };
}
