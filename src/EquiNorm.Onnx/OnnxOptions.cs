namespace EquiNorm.Onnx;

// How a model is understood and rewritten.

/// <summary>What becomes of batch normalisation behind a linear operator.</summary>
public enum NormalizationHandling
{
    /// <summary>Folded into the operator in front where that is possible; a diagonal weight elsewhere.</summary>
    Fold,

    /// <summary>Always a diagonal weight: the graph keeps its nodes.</summary>
    Keep,

    /// <summary>
    /// For a model that will be trained further: gamma and beta carry the factors of what is behind the normalisation, and gamma counts in the
    /// norm. What the normalisation reads is pinned, and running statistics stay: nothing changes in training or in evaluation.
    /// </summary>
    Scale,
}

/// <summary>What becomes of a weight that several nodes read.</summary>
public enum SharedWeightHandling
{
    /// <summary>Its uses share their factors; it stays one tensor.</summary>
    Tie,

    /// <summary>Each use has its own factors; uses that differ get copies. The output grows.</summary>
    Copy,
}

/// <summary>Options of <see cref="OnnxModel.Analyze(OnnxOptions?)"/>.</summary>
public sealed record OnnxOptions
{
    /// <summary>Batch normalisation; folded by default.</summary>
    public NormalizationHandling Normalization { get; init; } = NormalizationHandling.Fold;

    /// <summary>Shared weights; tied by default.</summary>
    public SharedWeightHandling SharedWeights { get; init; } = SharedWeightHandling.Tie;
}
