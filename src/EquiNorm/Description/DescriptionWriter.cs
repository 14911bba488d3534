using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;
using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>Writes a network: each group as an axis, each weight with its height, one of them on a line.</summary>
internal sealed class DescriptionWriter(Network network, DescriptionOptions options)
{
    // Names of tensors are for people to read; nothing here goes into a web page.
    private static readonly JavaScriptEncoder Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping;

    private readonly int _constant = network.Weights.FirstOrDefault(w => w.Role == WeightRole.Bias) is { } bias
        ? (bias.IsReversed ? bias.Outputs : bias.Inputs).Ranges[0].Group : -1;

    /// <summary>Writes it.</summary>
    public void Write(Stream stream)
    {
        CheckLimits();
        var tensors = network.Weights.Select(Stored).ToArray();
        using var writer = new Utf8JsonWriter(stream, new JsonWriterOptions { Indented = true, NewLine = "\n", Encoder = Encoder });
        writer.WriteStartObject();
        writer.WriteString("format", DescriptionReader.Format);
        writer.WriteNumber("version", network.Weights.Any(IsReciprocalBias) ? DescriptionReader.Version : 1);
        writer.WriteStartArray("axes");
        foreach (var group in network.Groups.Where(g => g.Index != _constant))
        {
            WriteLine(writer, group, WriteAxis);
        }

        writer.WriteEndArray();
        writer.WriteStartArray("weights");
        foreach (var weight in network.Weights)
        {
            WriteLine(writer, weight, (line, w) => WriteWeight(line, w, tensors[w.Index]));
        }

        writer.WriteEndArray();
        writer.WriteEndObject();
        writer.Flush();
        stream.WriteByte((byte)'\n');
    }

    private void CheckLimits()
    {
        if (options.OutputScales == OutputScaleHandling.Refuse && network.Weights.FirstOrDefault(w => !w.OutputScale.IsEmpty) is { } scaled)
        {
            throw new NetworkException(
                $"Weight '{scaled.Name}' has an output scale (a folded normalisation), which a description cannot hold: keep the normalisation as a weight, or multiply the scale into the weight.");
        }

        var positions = network.Weights.Sum(w => (long)w.Outputs.Length + w.Inputs.Length);
        if (network.ChannelCount > NetworkDescription.MaxChannels || positions > NetworkDescription.MaxPositions)
        {
            throw new NetworkException(
                $"The network has {network.ChannelCount} channels and {positions} positions in weights; a description has at most {NetworkDescription.MaxChannels} and {NetworkDescription.MaxPositions}.");
        }
    }

    // The writer either indents everything or nothing, and raw values not at all.
    private static void WriteLine<T>(Utf8JsonWriter writer, T item, Action<Utf8JsonWriter, T> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        buffer.Write("\n    "u8);
        using (var line = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = Encoder }))
        {
            line.WriteStartObject();
            write(line, item);
            line.WriteEndObject();
        }

        writer.WriteRawValue(buffer.WrittenSpan, skipInputValidation: true);
    }

    private static void WriteAxis(Utf8JsonWriter line, ChannelGroup group)
    {
        line.WriteString("name", group.Name);
        line.WriteNumber("channels", group.Count);
        if (group.PinnedBecause is { } reason)
        {
            line.WriteString("pinned", reason);
        }
    }

    private void WriteWeight(Utf8JsonWriter line, Weight weight, StoredTensor tensor)
    {
        line.WriteString("name", weight.Name);
        line.WriteString("type", ElementTypeWords.Of(weight.ElementType));
        if (tensor.Kind != WeightKind.Weight)
        {
            line.WriteString("kind", tensor.Kind == WeightKind.Bias ? "bias" : "diagonal");
        }

        WriteNumbers(line, "shape", tensor.Shape);
        if (tensor.Order != TensorOrder.OutputInput)
        {
            line.WriteString("order", tensor.Order == TensorOrder.InputOutput ? "input-output" : "group-output-input");
        }

        if (tensor.Groups is > 1)
        {
            line.WriteNumber("groups", tensor.Groups.Value);
        }

        if (tensor.Strides is { } strides)
        {
            WriteNumbers(line, "strides", strides);
        }

        if (tensor.Offset != 0)
        {
            line.WriteNumber("offset", tensor.Offset);
        }

        if (!IsReciprocalBias(weight))
        {
            WriteReference(line, "output", weight.Outputs);
        }

        if (tensor.Kind != WeightKind.Bias || IsReciprocalBias(weight))
        {
            WriteReference(line, "input", weight.Inputs);
        }

        line.WriteNumber("height", weight.Height);
    }

    private static void WriteNumbers(Utf8JsonWriter line, string name, long[] numbers)
    {
        line.WriteStartArray(name);
        foreach (var number in numbers)
        {
            line.WriteNumberValue(number);
        }

        line.WriteEndArray();
    }

    private void WriteReference(Utf8JsonWriter line, string name, ChannelMap map)
    {
        if (map.Ranges is [var only] && only.Count == network.Groups[only.Group].Count)
        {
            line.WriteString(name, network.Groups[only.Group].Name);
            return;
        }

        line.WriteStartArray(name);
        foreach (var range in map.Ranges)
        {
            if (range.Count == network.Groups[range.Group].Count)
            {
                line.WriteStringValue(network.Groups[range.Group].Name);
                continue;
            }

            line.WriteStartObject();
            line.WriteString("axis", network.Groups[range.Group].Name);
            line.WriteNumber("start", range.Start);
            line.WriteNumber("count", range.Count);
            line.WriteEndObject();
        }

        line.WriteEndArray();
    }

    // What is divided by the factors of its channels: they are its input, and it has no output.
    private static bool IsReciprocalBias(Weight weight) => weight.Role == WeightRole.Bias && weight.IsReversed;

    // The first form that reads as the very layout, in the tensor's own order if there is one; the last one can say everything.
    private StoredTensor Stored(Weight weight) =>
        (IsReciprocalBias(weight)
            ? Forms(weight, (weight.Layout with { Order = TensorOrder.GroupOutputInput }).Reversed()).FirstOrDefault(f => f.Layout(weight.Inputs.Length, 1, out _)?.Reversed() == weight.Layout)
            : Forms(weight, weight.Layout).Where(f => f.Layout(weight.Outputs.Length, weight.Inputs.Length, out _) == weight.Layout)
                .OrderBy(f => f.Order == weight.Layout.Order ? 0 : 1).FirstOrDefault())
        ?? throw new NetworkException($"Weight '{weight.Name}': its layout is beyond the limits of a description: {weight.Layout}.");

    private IEnumerable<StoredTensor> Forms(Weight weight, WeightLayout layout)
    {
        var isBias = weight.Role == WeightRole.Bias;
        if (options.Shapes?.GetValueOrDefault(weight.Name) is { } known)
        {
            foreach (var form in Contiguous(layout, isBias, [.. known]))
            {
                yield return form;
            }
        }

        long[] kernel = layout.Kernel == 1 ? [] : [layout.Kernel];
        long[][] shapes = isBias
            ? [[layout.Outputs, .. kernel]]
            : [
                .. layout.Groups > 1 ? (long[][])[[layout.Outputs]] : [],
                [layout.Outputs, layout.InputsPerGroup, .. kernel],
                [(long)layout.Inputs * layout.Kernel, layout.Outputs],
                [layout.Inputs, layout.OutputsPerGroup, .. kernel],
            ];
        foreach (var form in shapes.SelectMany(s => Contiguous(layout, isBias, s)))
        {
            yield return form;
        }

        yield return new StoredTensor(
            isBias ? WeightKind.Bias : WeightKind.Weight,
            TensorOrder.GroupOutputInput,
            null,
            [layout.Groups, layout.OutputsPerGroup, layout.InputsPerGroup, layout.Kernel],
            [layout.GroupStride, layout.OutputStride, layout.InputStride, layout.KernelStride],
            layout.Offset);
    }

    private static IEnumerable<StoredTensor> Contiguous(WeightLayout layout, bool isBias, long[] shape) => isBias
        ? [new StoredTensor(WeightKind.Bias, TensorOrder.OutputInput, null, shape)]
        : [
            new StoredTensor(WeightKind.Diagonal, TensorOrder.OutputInput, null, shape),
            new StoredTensor(WeightKind.Weight, TensorOrder.OutputInput, layout.Groups, shape),
            new StoredTensor(WeightKind.Weight, TensorOrder.InputOutput, layout.Groups, shape),
        ];
}
