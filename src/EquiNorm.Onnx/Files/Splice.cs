using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// Edits to a file of nested messages: byte ranges replaced, inserted or dropped, everything else copied verbatim. A message whose
/// content keeps its length keeps its own (perhaps non-canonical) length prefix; else the prefix is encoded anew, outward to the root.
/// </summary>
internal sealed class Splice
{
    private readonly MappedFile _file;
    private readonly Message _root;

    /// <summary>No edits yet.</summary>
    public Splice(MappedFile file)
    {
        _file = file;
        _root = new Message(new WireField(0, WireType.LengthDelimited, 0, 0, 0, _file.Length, 0));
    }

    /// <summary>Replaces [start, end), which lies in the innermost of the <paramref name="enclosing"/> messages, by pieces (none: dropped).</summary>
    public void Replace(IReadOnlyList<WireField> enclosing, long start, long end, params Piece[] pieces)
    {
        var message = _root;
        foreach (var field in enclosing)
        {
            message = message.Child(field);
        }

        if (start < message.Field.ContentStart || end > message.Field.End || start > end)
        {
            throw new ArgumentOutOfRangeException(nameof(start), "The edit lies outside its message.");
        }

        message.Edits.Add(new Edit(start, end, pieces));
    }

    /// <summary>Drops a field.</summary>
    public void Drop(IReadOnlyList<WireField> enclosing, in WireField field) => Replace(enclosing, field.Start, field.End);

    /// <summary>Inserts pieces at an offset.</summary>
    public void Insert(IReadOnlyList<WireField> enclosing, long at, params Piece[] pieces) => Replace(enclosing, at, at, pieces);

    /// <summary>The pieces of the edited file, in order.</summary>
    /// <exception cref="InvalidOperationException">Edits overlap.</exception>
    public IReadOnlyList<Piece> Pieces() => Content(_root);

    private List<Piece> Content(Message message)
    {
        // Children are edits of their whole field, so one ordered list describes the message. The sort is stable: insertions at one
        // place keep their order, and come before a replacement that starts there.
        var edits = message.Edits
            .Concat(message.Children.Values.Select(c => new Edit(c.Field.Start, c.Field.End, Encode(c))))
            .OrderBy(e => e.Start).ThenBy(e => e.End > e.Start);
        var result = new List<Piece>();
        long position = message.Field.ContentStart;
        foreach (var edit in edits)
        {
            if (edit.Start < position)
            {
                throw new InvalidOperationException($"Two edits overlap at byte {edit.Start}.");
            }

            Copy(result, position, edit.Start);
            result.AddRange(edit.Pieces);
            position = edit.End;
        }

        Copy(result, position, message.Field.End);
        return result;
    }

    private IReadOnlyList<Piece> Encode(Message message)
    {
        var field = message.Field;
        var content = Content(message);
        long length = content.Sum(p => p.Length);
        if (length == field.ContentLength)
        {
            content.Insert(0, new SourcePiece(_file, field.Start, field.ContentStart - field.Start));
            return content;
        }

        var prefix = new MemoryStream();
        WireWriter.Varint(prefix, (ulong)length);
        content.Insert(0, new SourcePiece(_file, field.Start, field.LengthStart - field.Start));
        content.Insert(1, new LiteralPiece(prefix.ToArray()));
        return content;
    }

    private void Copy(List<Piece> pieces, long start, long end)
    {
        if (end > start)
        {
            pieces.Add(new SourcePiece(_file, start, end - start));
        }
    }

    private sealed record Edit(long Start, long End, IReadOnlyList<Piece> Pieces);

    private sealed class Message(WireField field)
    {
        public WireField Field { get; } = field;

        public List<Edit> Edits { get; } = [];

        public Dictionary<long, Message> Children { get; } = [];

        public Message Child(WireField field)
        {
            if (!Children.TryGetValue(field.Start, out var child))
            {
                Children.Add(field.Start, child = new Message(field));
            }

            return child;
        }
    }
}
