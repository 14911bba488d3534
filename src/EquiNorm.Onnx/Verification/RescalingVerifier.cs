using EquiNorm.Files.Verification;
using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Verification;

/// <summary>
/// Proves that a model is a rescaling of another, from the two files alone: the graphs are compared node by node, normalisations that can
/// be folded are folded on both sides, one positive factor per channel is recovered from the weights, and every weight, bias and
/// normalisation parameter is held against it. Channels that the graph pins must have factor 1.
/// </summary>
public static class RescalingVerifier
{
    // Each use of a shared tensor may have factors of its own: the file decides whether it has. Which operand of a product keeps its factors
    // depends on what else is pinned, and so on the options of the one who rescaled: any of these readings is a proof.
    private static readonly OnnxOptions[] Settings =
    [
        new() { SharedWeights = SharedWeightHandling.Copy },
        new() { SharedWeights = SharedWeightHandling.Copy, Normalization = NormalizationHandling.Scale },
        new(),
        new() { Normalization = NormalizationHandling.Scale },
    ];

    /// <summary>Compares two models.</summary>
    /// <param name="a">The model.</param>
    /// <param name="b">What should be a rescaling of it.</param>
    /// <param name="cancellation">Cancels the comparison.</param>
    /// <exception cref="OnnxFormatException">A model is not valid.</exception>
    public static VerificationReport Verify(OnnxModel a, OnnxModel b, CancellationToken cancellation = default)
    {
        var report = Verify(a, b, Settings[0], out bool hasChosen, cancellation);
        for (int n = 1; n < Settings.Length && hasChosen && report.Reason is not null; n++)
        {
            var other = Verify(a, b, Settings[n], out _, cancellation);
            report = other.Reason is null ? other : report;
        }

        return report;
    }

    private static VerificationReport Verify(OnnxModel a, OnnxModel b, OnnxOptions options, out bool hasChosen, CancellationToken cancellation)
    {
        var (analysisA, analysisB) = (Analyze(a, options), Analyze(b, options));
        hasChosen = analysisA.HasChosen;
        var (graphA, graphB) = (CanonicalGraph.Of(analysisA), CanonicalGraph.Of(analysisB));
        var network = analysisA.Builder.Build();
        var report = new VerificationReport
        {
            Channels = network.ChannelCount,
            FoldedNormalizations = (analysisA.Folding.All.Count, analysisB.Folding.All.Count),
        };
        if (new GraphComparer(graphA, graphB).Difference() is { } difference)
        {
            return report with { Reason = difference };
        }

        return ParameterVerifier.Verify(report, network, ParameterList.Pair(graphA, graphB, network), cancellation);
    }

    private static GraphAnalysis Analyze(OnnxModel model, OnnxOptions options)
    {
        var analysis = new GraphAnalysis(model.Layout, options);
        analysis.Run();
        return analysis;
    }
}
