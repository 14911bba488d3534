using System.Globalization;
using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// Lays out the one data file of the output: the source's data files one after another, each verbatim with the rewritten tensors
/// replaced in place, so offsets within a file keep their meaning; and redirects every external tensor of the model to it.
/// </summary>
internal static class ExternalPlan
{
    // Offsets should be multiples of the page size (ONNX asks for it on systems that map the file).
    private const long Alignment = 4096;

    /// <summary>The pieces of the data file; edits the model's external_data entries in <paramref name="splice"/>.</summary>
    /// <param name="layout">The source; has external tensors.</param>
    /// <param name="edits">What changes.</param>
    /// <param name="splice">The output model.</param>
    /// <param name="location">Name of the data file, relative to the output model.</param>
    public static IReadOnlyList<Piece> Apply(ModelLayout layout, ModelEdits edits, Splice splice, string location)
    {
        var pieces = new List<Piece>();
        var bases = new Dictionary<MappedFile, long>();
        long position = 0;
        foreach (var file in layout.External.InOrder)
        {
            long start = (position + Alignment - 1) / Alignment * Alignment;
            pieces.Add(new LiteralPiece(new byte[start - position]));
            bases.Add(file, start);
            pieces.AddRange(FilePieces(file, edits));
            position = start + file.Length;
        }

        foreach (var tensor in layout.ExternalTensors.Where(t => !edits.Dropped.Contains(t)))
        {
            Redirect(layout.File, tensor, splice, location, bases);
        }

        return pieces;
    }

    private static IReadOnlyList<Piece> FilePieces(MappedFile file, ModelEdits edits)
    {
        // Two tensors may be one by storage: there is one transform for both then, and dropping one of them leaves the data.
        var splice = new Splice(file);
        var changed = edits.Transforms.Where(t => t.Key.DataFile == file);
        foreach (var (tensor, transform) in changed)
        {
            splice.Replace([], tensor.DataStart, tensor.DataStart + tensor.ByteLength, new TensorPiece(tensor, transform));
        }

        return splice.Pieces();
    }

    private static void Redirect(MappedFile model, OnnxTensor tensor, Splice splice, string location, Dictionary<MappedFile, long> bases)
    {
        WireField[] inside = [.. tensor.Layout.Enclosing, tensor.Layout.Field];
        long offset = tensor.DataFile is null ? 0 : bases[tensor.DataFile] + tensor.DataStart;
        var values = new Dictionary<string, string>(StringComparer.Ordinal)
        {
            ["location"] = location,
            ["offset"] = offset.ToString(CultureInfo.InvariantCulture),
            ["length"] = tensor.ByteLength.ToString(CultureInfo.InvariantCulture),
        };
        var reader = new WireReader(model, tensor.Layout.Field);
        while (reader.Read(out var field))
        {
            if (field.Is(13))
            {
                RedirectEntry(model, inside, field, splice, values);
            }
        }

        // An offset of 0 and a length may be left out in the source; they must be there if the tensor moved within the file.
        if (offset > 0 && values.ContainsKey("offset"))
        {
            Append(splice, inside, "offset", values["offset"]);
            if (values.TryGetValue("length", out string? length))
            {
                Append(splice, inside, "length", length);
            }
        }
    }

    private static void RedirectEntry(MappedFile model, WireField[] inside, WireField entry, Splice splice, Dictionary<string, string> values)
    {
        string key = "";
        WireField? value = null;
        var reader = new WireReader(model, entry);
        while (reader.Read(out var field))
        {
            key = field.Is(1) ? model.Text(field.ContentStart, field.End) : key;
            value = field.Is(2) ? field : value;
        }

        if (key == "checksum")
        {
            splice.Drop(inside, entry); // of the old file
        }
        else if (value is { } old && values.Remove(key, out string? text) && model.Text(old.ContentStart, old.End) != text)
        {
            splice.Replace([.. inside, entry], old.Start, old.End, new LiteralPiece(WireWriter.Text(2, text)));
        }
    }

    private static void Append(Splice splice, WireField[] inside, string key, string value) =>
        splice.Insert(inside, inside[^1].End, new LiteralPiece(WireWriter.Field(13, [.. WireWriter.Text(1, key), .. WireWriter.Text(2, value)])));
}
