namespace EquiNorm.Fuzz;

/// <summary>
/// Changes to a file of nested protocol-buffer messages that leave it readable: fields duplicated, dropped, swapped, moved elsewhere, numbers replaced by
/// extreme ones, names by other names, field numbers by others, and now and then a length that is wrong. Guesses the nesting: bytes that read as
/// a message are taken for one.
/// </summary>
internal sealed class ProtoMutations
{
    private const int MaximumDepth = 12;
    private const int LongestGuess = 1 << 16;
    private readonly List<Field> _all = [];
    private readonly List<List<Field>> _messages = [];
    private readonly List<Field> _root;

    private ProtoMutations(byte[] source) => _root = Parse(source, 0) ?? [];

    /// <summary>One to three changes; the source as it is if it is no such file.</summary>
    public static byte[] Mutate(byte[] source, Random random)
    {
        var tree = new ProtoMutations(source);
        if (tree._all.Count == 0)
        {
            return source;
        }

        for (int n = random.Next(1, 4); n > 0; n--)
        {
            tree.Once(random);
        }

        return Encode(tree._root);
    }

    private void Once(Random random)
    {
        var field = _all[random.Next(_all.Count)];
        var message = _messages.Find(m => m.Contains(field)) ?? _root;
        int at = Math.Max(0, message.IndexOf(field));
        switch (random.Next(10))
        {
            case 0:
                message.Insert(at, field.Copy());
                break;
            case 1:
                message.Remove(field);
                break;
            case 2:
                var other = _messages[random.Next(_messages.Count)];
                other.Insert(random.Next(other.Count + 1), field.Copy());
                break;
            case 3:
                field.Number = random.Next(1, random.Next(2) == 0 ? 30 : 1 << 20);
                break;
            case 4:
                field.WrongLength = ByteMutations.Extreme(random);
                break;
            case 5 when field.Bytes is not null:
                field.Bytes = _all[random.Next(_all.Count)].Bytes ?? [];
                break;
            case 6 when field.Bytes is { Length: > 0 }:
                field.Bytes = ByteMutations.Once(field.Bytes, field.Bytes, random);
                break;
            case 7:
                field.Wire = random.Next(8);
                break;
            default:
                // Numbers are what sizes are made of: dims, types, axes, offsets.
                var numbers = _all.FindAll(f => f.Wire == 0);
                if (numbers.Count > 0)
                {
                    numbers[random.Next(numbers.Count)].Varint = random.Next(3) == 0 ? (ulong)random.Next(20) : ByteMutations.Extreme(random);
                }

                break;
        }
    }

    private List<Field>? Parse(ReadOnlySpan<byte> bytes, int depth)
    {
        var fields = new List<Field>();
        int position = 0;
        while (position < bytes.Length)
        {
            if (!Varint(bytes, ref position, out ulong tag) || tag >> 3 is 0 or > 1 << 20)
            {
                return null;
            }

            var field = new Field { Number = (int)(tag >> 3), Wire = (int)(tag & 7) };
            int length = field.Wire switch { 1 => 8, 5 => 4, _ => 0 };
            switch (field.Wire)
            {
                case 0 when Varint(bytes, ref position, out ulong value):
                    field.Varint = value;
                    break;
                case 2 when Varint(bytes, ref position, out ulong size) && size <= (ulong)(bytes.Length - position):
                    length = (int)size;
                    break;
                case 1 or 5 when length <= bytes.Length - position:
                    break;
                default:
                    return null;
            }

            var content = bytes.Slice(position, length);
            field.Bytes = field.Wire == 0 ? null : content.ToArray();
            field.Children = field.Wire == 2 && length is > 1 and <= LongestGuess && depth < MaximumDepth && !IsText(content) ? Parse(content, depth + 1) : null;
            position += length;
            fields.Add(field);
        }

        _all.AddRange(fields);
        _messages.Add(fields);
        return fields;
    }

    private static bool IsText(ReadOnlySpan<byte> bytes) => !bytes.ContainsAnyExceptInRange((byte)32, (byte)126);

    private static bool Varint(ReadOnlySpan<byte> bytes, ref int position, out ulong value)
    {
        value = 0;
        for (int shift = 0; shift < 70 && position < bytes.Length; shift += 7)
        {
            byte b = bytes[position++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return true;
            }
        }

        return false;
    }

    private static byte[] Encode(List<Field> fields)
    {
        var output = new MemoryStream();
        foreach (var field in fields)
        {
            byte[] content = field.Children is null ? field.Bytes ?? [] : Encode(field.Children);
            Write(output, (ulong)field.Number << 3 | (uint)field.Wire);
            if (field.Wire == 0)
            {
                Write(output, field.Varint);
            }
            else
            {
                if (field.Wire == 2)
                {
                    Write(output, field.WrongLength ?? (ulong)content.Length);
                }

                output.Write(content);
            }
        }

        return output.ToArray();
    }

    private static void Write(MemoryStream output, ulong value)
    {
        for (; value >= 0x80; value >>= 7)
        {
            output.WriteByte((byte)(value | 0x80));
        }

        output.WriteByte((byte)value);
    }

    private sealed class Field
    {
        public int Number { get; set; }

        public int Wire { get; set; }

        public ulong Varint { get; set; }

        public byte[]? Bytes { get; set; }

        public List<Field>? Children { get; set; }

        public ulong? WrongLength { get; set; }

        public Field Copy() => new()
        {
            Number = Number,
            Wire = Wire,
            Varint = Varint,
            Bytes = Bytes,
            Children = Children?.ConvertAll(c => c.Copy()),
        };
    }
}
