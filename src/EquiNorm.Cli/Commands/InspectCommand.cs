using System.Text.Json;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Models;
using EquiNorm.Cli.Text;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Cli.Commands;

/// <summary>equinorm inspect: channel groups, what pins them, norms and balance as they are.</summary>
internal static class InspectCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(ModelPlace place, double norm, ResultFormat format, Streams streams, CancellationToken cancellation)
    {
        using var onnx = InputModel.Open(place.Checked());
        using var tensors = onnx.Bind(onnx.Network);
        cancellation.ThrowIfCancellationRequested();
        var document = Describe(place.Path, onnx, NetworkSurvey.Take(tensors, norm, 0, Scalings.Identity(onnx.Network))[0]);
        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(document, Documents.Default.InspectDocument));
        }
        else
        {
            InspectText.Write(document, Page.For(streams));
        }

        return ExitCode.Success;
    }

    private static InspectDocument Describe(string input, InputModel onnx, NetworkSurvey survey)
    {
        var network = onnx.Network;
        var weights = network.Weights.Where(w => w.Role == WeightRole.Weight).ToList();
        var sources = Names(weights, w => w.Outputs, network);
        var sinks = Names(weights, w => w.Inputs, network);
        return new InspectDocument
        {
            Input = input,
            Norm = JsonNumber.Finite(survey.Norm),
            NormName = Values.NormName(survey.Norm),
            Residual = JsonNumber.Finite(survey.Residual),
            Objective = JsonNumber.Finite(survey.Objective),
            Channels = network.FreeChannelCount,
            DeadChannels = survey.DeadChannels,
            Groups = [.. network.Groups.Where(g => sources[g.Index].Count + sinks[g.Index].Count > 0).Select(g => new GroupDocument(
                g.Name, g.Count, g.PinnedBecause, g.IsPinned ? null : JsonNumber.Finite(survey.ResidualOf(g)), sources[g.Index], sinks[g.Index]))],
            Layers = [.. weights.Select(w => new InspectedLayerDocument(
                w.Name, [w.Layout.Outputs, w.Layout.InputsPerGroup, w.Layout.Kernel], w.ElementType.ToString(), JsonNumber.Finite(survey.WeightNorms[w.Index])))],
            FoldedNormalizations = onnx.FoldedNormalizations,
            Notes = [.. network.Notes, .. onnx.Notes],
        };
    }

    private static List<string>[] Names(List<Weight> weights, Func<Weight, ChannelMap> axis, Network network)
    {
        var names = network.Groups.Select(_ => new List<string>()).ToArray();
        foreach (var weight in weights)
        {
            foreach (int group in axis(weight).Ranges.Select(r => r.Group).Distinct())
            {
                names[group].Add(weight.Name);
            }
        }

        return names;
    }
}
