using EquiNorm.Cli.Commands;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Cli.Json;

/// <summary>The outcome of `equinorm rescale` as its JSON object.</summary>
internal static class RescaleJson
{
    private const int MostNamed = 100;

    /// <summary>Makes the object.</summary>
    public static RescaleDocument Of(RescaleOutcome outcome)
    {
        var (request, network, result) = (outcome.Request, outcome.Network, outcome.Result);
        var free = network.Groups.Where(g => !g.IsPinned && g.Count > 0).ToList();
        return new RescaleDocument
        {
            Status = result.Status.ToString(),
            Message = outcome.NothingFree ? outcome.Changes ? RescaleOutcomeText.OnlyBiases : RescaleOutcomeText.NothingFree : result.Advice,
            Input = request.Input,
            Network = request.Network,
            Output = request.Mode == WriteMode.Write ? request.Output : null,
            Norm = JsonNumber.Finite(request.Norm),
            NormName = Values.NormName(request.Norm),
            Tolerance = request.Options.ToleranceFor(request.Norm),
            MaxGain = request.Options.MaxGain,
            Penalty = request.Penalty.Name,
            Order = Values.Name(result.Order),
            Exact = request.Options.Factors == FactorSet.PowersOfTwo,
            Sweeps = result.Sweeps,
            Residual = JsonNumber.Finite(result.Residual),
            GapBound = JsonNumber.Finite(result.GapBound),
            ObjectiveBefore = JsonNumber.Finite(result.ObjectiveBefore),
            ObjectiveAfter = JsonNumber.Finite(result.Objective),
            Channels = network.FreeChannelCount,
            Groups = free.Count,
            LimitedChannels = result.Limited.Count,
            Limited = [.. result.Limited.Take(MostNamed).Select(l => new LimitedDocument(l.Group.Name, l.Channel, l.Side.ToString()))],
            FrozenChannels = result.Frozen.Count,
            Frozen = [.. result.Frozen.Take(MostNamed).Select(f => new FrozenDocument(f.Group.Name, f.Channel, f.Reason.ToString()))],
            Pinned = [.. RescaleOutcomeText.Pinned(network).Select(g => new PinnedDocument(g.Name, g.Count, g.PinnedBecause!))],
            BatchNorm = request.Network is null ? Values.Name(request.Model.Normalization) : "described",
            ScaledNormalizations = outcome.Scaled,
            FoldedNormalizations = outcome.Folds ? outcome.Folded : [],
            CopiedTensors = outcome.Saved.Copies,
            Underflowed = outcome.Saved.Underflowed,
            Notes = outcome.Notes,
            Layers = [.. Layers(outcome)],
            Int8 = outcome.Int8 is { } int8 ? Int8Json.Of(int8.Before, int8.After, int8.Time) : null,
            Absorbed = outcome.Absorption is { } absorption ? AbsorptionDocument.Of(absorption) : null,
            Backend = result.Backend,
            Threads = result.Threads,
            Seconds = new SecondsDocument(
                outcome.Read.TotalSeconds, result.Timings.Solve.TotalSeconds, outcome.Saved.Apply.TotalSeconds, outcome.Saved.Write.TotalSeconds),
        };
    }

    private static IEnumerable<LayerDocument> Layers(RescaleOutcome outcome) =>
        outcome.Network.Weights.Where(w => w.Role == WeightRole.Weight).Select(w => new LayerDocument(
            w.Name, [w.Layout.Outputs, w.Layout.InputsPerGroup, w.Layout.Kernel],
            JsonNumber.Finite(outcome.Before.WeightNorms[w.Index]), JsonNumber.Finite(outcome.After.WeightNorms[w.Index])));
}

/// <summary>What both forms of the report say.</summary>
internal static class RescaleOutcomeText
{
    /// <summary>Said when every group is pinned.</summary>
    public const string NothingFree = "Nothing is free in this network: every channel group is pinned, so there is nothing to rescale. The output is the input.";

    /// <summary>Said when every group is pinned, and biases were absorbed.</summary>
    public const string OnlyBiases = "Nothing is free in this network: every channel group is pinned, so nothing was rescaled; biases were absorbed.";

    /// <summary>The pinned groups of a network that are worth a mention: those that a weight reads or writes.</summary>
    public static IEnumerable<ChannelGroup> Pinned(Network network)
    {
        var touched = network.Weights.Where(w => w.Role == WeightRole.Weight)
            .SelectMany(w => w.Outputs.Ranges.Concat(w.Inputs.Ranges)).Select(r => r.Group).ToHashSet();
        return network.Groups.Where(g => g.IsPinned && touched.Contains(g.Index));
    }
}
