using EquiNorm.Model;

namespace EquiNorm.Files.Verification;

// What comparing two models has shown. A deviation is measured against what the recovered factors predict:
//   weights  |b - a f| / max(|a f|, 2^-20 max |a f| over the output channel, smallest normal number of the storage type)
//   biases   the same, and the denominator is at least the largest of |bias scale|, |mean scale|, |beta| that folding added up, times f
// with a and b after folding, f = d_out / d_in. The floors keep rounding of elements that do not matter from dominating.

/// <summary>How well one tensor of B is predicted by A and the recovered factors.</summary>
/// <param name="Name">The tensor's name in A; for a folded bias the name of the normalised value.</param>
/// <param name="ElementType">Storage type in B.</param>
/// <param name="Deviation">The largest relative deviation; infinite where B holds something that is not finite.</param>
/// <param name="Element">Index of the element that deviates most, in storage order.</param>
/// <param name="Expected">What the factors predict for it.</param>
/// <param name="Found">What B holds, after folding.</param>
public sealed record TensorDeviation(string Name, ElementType ElementType, double Deviation, long Element, double Expected, double Found)
{
    /// <summary>The largest deviation that rounding explains: to the storage type, and to that of the weights that the factors were recovered from.</summary>
    public double Tolerance { get; init; } = ToleranceOf(ElementType);

    /// <summary>Whether rounding explains the deviation.</summary>
    public bool IsExplained => Deviation <= Tolerance;

    /// <summary>A few times the rounding error of the type: the element is rounded once, the factors are recovered from rounded elements.</summary>
    public static double ToleranceOf(ElementType type) => type switch
    {
        ElementType.Float32 => 1e-6,
        ElementType.Float64 => 1e-12,
        ElementType.Float16 => 2e-3,
        _ => 2e-2,
    };
}

/// <summary>Whether model B is a rescaling of model A: the same graph, and one positive factor per channel explains every tensor.</summary>
public sealed record VerificationReport
{
    /// <summary>Whether B is a rescaling of A.</summary>
    public bool Same => Reason is null;

    /// <summary>Why it is not; null if it is. Names the node or tensor.</summary>
    public string? Reason { get; init; }

    /// <summary>The tensors in graph order; empty if the graphs differ already.</summary>
    public IReadOnlyList<TensorDeviation> Tensors { get; init; } = [];

    /// <summary>The tensor that is explained worst, measured in its own tolerance; null if there is none.</summary>
    public TensorDeviation? Worst { get; init; }

    /// <summary>The largest deviation of all tensors; null if the graphs differ.</summary>
    public double? MaxDeviation => Reason is not null && Tensors.Count == 0 ? null : Tensors.Select(t => t.Deviation).DefaultIfEmpty(0).Max();

    /// <summary>Channels of all groups.</summary>
    public int Channels { get; init; }

    /// <summary>Channels of free groups whose factor is not 1 (up to the tolerance of float32).</summary>
    public int RescaledChannels { get; init; }

    /// <summary>Channels that no element connects to a pinned channel: any factor would explain them as well.</summary>
    public int UndeterminedChannels { get; init; }

    /// <summary>The smallest factor recovered.</summary>
    public double SmallestFactor { get; init; } = 1;

    /// <summary>The largest factor recovered.</summary>
    public double LargestFactor { get; init; } = 1;

    /// <summary>Normalisations folded before comparing, in A and in B.</summary>
    public (int A, int B) FoldedNormalizations { get; init; }
}
