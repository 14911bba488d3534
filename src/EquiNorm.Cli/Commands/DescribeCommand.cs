using System.Text;
using EquiNorm.Cli.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Onnx;

namespace EquiNorm.Cli.Commands;

/// <summary>
/// equinorm describe: the network of a model as JSON. Batch normalisation is described as it is trained: a description names stored tensors
/// only, and the other ways need running statistics to be rescaled or weights to be folded, which its readers know nothing of.
/// </summary>
internal static class DescribeCommand
{
    /// <summary>Runs the command.</summary>
    /// <param name="input">The model.</param>
    /// <param name="output">Where the description goes; null for standard output.</param>
    /// <param name="streams">Where the tool writes.</param>
    /// <param name="cancellation">Cancels it.</param>
    public static ExitCode Run(string input, string? output, Streams streams, CancellationToken cancellation)
    {
        if (output is not null)
        {
            OutputFile.Check(output);
        }

        using var model = OnnxModel.Open(input);
        using var onnx = model.Analyze(new OnnxOptions { Normalization = NormalizationHandling.Scale });
        using var text = new MemoryStream();
        try
        {
            NetworkDescription.Write(onnx.Network, text, new DescriptionOptions { Shapes = onnx.Shapes });
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.InvalidModel, $"{input}: {e.Message}", e);
        }

        cancellation.ThrowIfCancellationRequested();
        var bytes = text.GetBuffer().AsSpan(0, (int)text.Length);
        if (output is null)
        {
            streams.Out.Write(Encoding.UTF8.GetString(bytes));
            return ExitCode.Success;
        }

        OutputFile.Write(output, bytes);
        int groups = onnx.Network.Groups.Count(g => !g.IsPinned);
        streams.Out.WriteLine(
            $"{output}: {Say.Count(onnx.Network.Weights.Count, "tensor")}, {Say.Count(onnx.Network.FreeChannelCount, "channel")} in {Say.Count(groups, "group")} can be rescaled");
        return ExitCode.Success;
    }
}
