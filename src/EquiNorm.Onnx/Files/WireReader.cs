using EquiNorm.Files;

namespace EquiNorm.Onnx.Files;

// Protocol-buffer wire format, as far as it is needed to LOCATE fields: tags, varints, lengths. 64-bit offsets throughout, every
// length checked against the enclosing message before it is used, no recursion and no allocation.

/// <summary>How a field's value is laid out.</summary>
internal enum WireType
{
    /// <summary>1 to 10 bytes, 7 bits each.</summary>
    Varint = 0,

    /// <summary>8 bytes.</summary>
    Fixed64 = 1,

    /// <summary>A varint length and that many bytes.</summary>
    LengthDelimited = 2,

    /// <summary>Fields up to the matching end tag (obsolete; skipped).</summary>
    Group = 3,

    /// <summary>4 bytes.</summary>
    Fixed32 = 5,
}

/// <summary>One field as it lies in the file: [Start, LengthStart) is its tag, [ContentStart, End) its value.</summary>
/// <param name="Number">Field number.</param>
/// <param name="Type">Layout.</param>
/// <param name="Start">Offset of the tag.</param>
/// <param name="LengthStart">Offset after the tag: of the length of a length-delimited field, else of the value.</param>
/// <param name="ContentStart">Offset of the value.</param>
/// <param name="End">Offset after the value.</param>
/// <param name="Varint">The value of a varint field, else 0.</param>
internal readonly record struct WireField(int Number, WireType Type, long Start, long LengthStart, long ContentStart, long End, ulong Varint)
{
    /// <summary>Bytes of the value.</summary>
    public long ContentLength => End - ContentStart;

    /// <summary>Whether this is field <paramref name="number"/> as a message, string or bytes.</summary>
    public bool Is(int number) => Number == number && Type == WireType.LengthDelimited;

    /// <summary>Whether this is field <paramref name="number"/> as a varint.</summary>
    public bool IsVarint(int number) => Number == number && Type == WireType.Varint;
}

/// <summary>Walks the fields of one message, [start, end) of a mapped file.</summary>
internal unsafe struct WireReader
{
    private const int MaximumGroupDepth = 64;
    private readonly MappedFile _file;
    private readonly byte* _bytes; // address of offset 0 of the file
    private readonly long _end;
    private long _position;

    /// <summary>Walks [start, end).</summary>
    public WireReader(MappedFile file, long start, long end)
    {
        _file = file;
        _end = end;
        _position = start;
        _bytes = _file.Pointer(start, _end - start) - start;
    }

    /// <summary>Walks the content of a message field.</summary>
    public WireReader(MappedFile file, in WireField message)
        : this(file, message.ContentStart, message.End)
    {
    }

    /// <summary>Whether all fields have been read.</summary>
    public readonly bool AtEnd => _position == _end;

    /// <summary>Reads the next field; false at the end of the message.</summary>
    /// <exception cref="OnnxFormatException">The bytes are not a valid message.</exception>
    public bool Read(out WireField field)
    {
        if (_position == _end)
        {
            field = default;
            return false;
        }

        long start = _position;
        int type = ReadTag(out int number);
        if (type == (int)WireType.Group)
        {
            long inside = _position;
            SkipGroup(number);
            field = new WireField(number, WireType.Group, start, inside, inside, _position, 0);
            return true;
        }

        if (type == 4)
        {
            throw Invalid(start, "an end-group tag without a start");
        }

        field = ReadValue(number, type, start);
        return true;
    }

    /// <summary>Reads a bare varint (the elements of a packed field).</summary>
    public ulong ReadVarint()
    {
        long start = _position;
        ulong value = 0;
        for (int shift = 0; shift < 70; shift += 7)
        {
            if (_position == _end)
            {
                throw Invalid(start, "a number that is cut off");
            }

            byte b = _bytes[_position++];
            value |= (ulong)(b & 0x7F) << shift;
            if (b < 0x80)
            {
                return value;
            }
        }

        throw Invalid(start, "a number of more than ten bytes");
    }

    private WireField ReadValue(int number, int type, long start)
    {
        long lengthStart = _position;
        ulong value = 0;
        switch (type)
        {
            case (int)WireType.Varint:
                value = ReadVarint();
                return new WireField(number, WireType.Varint, start, lengthStart, lengthStart, _position, value);
            case (int)WireType.Fixed64:
                Skip(8, start);
                break;
            case (int)WireType.Fixed32:
                Skip(4, start);
                break;
            case (int)WireType.LengthDelimited:
                ulong length = ReadVarint();
                long content = _position;
                Skip(length, start);
                return new WireField(number, WireType.LengthDelimited, start, lengthStart, content, _position, 0);
            default:
                throw Invalid(start, $"wire type {type}, which does not exist");
        }

        return new WireField(number, (WireType)type, start, lengthStart, lengthStart, _position, value);
    }

    private int ReadTag(out int number)
    {
        long start = _position;
        ulong tag = ReadVarint();
        number = (int)(tag >> 3 & 0x1FFFFFFF);
        if (tag > uint.MaxValue || number == 0)
        {
            throw Invalid(start, "a field number that does not exist");
        }

        return (int)(tag & 7);
    }

    private void SkipGroup(int number)
    {
        Span<int> open = stackalloc int[MaximumGroupDepth];
        int depth = 0;
        open[depth++] = number;
        while (depth > 0)
        {
            long start = _position;
            int type = ReadTag(out int inner);
            if (type == 4)
            {
                if (open[--depth] != inner)
                {
                    throw Invalid(start, "an end-group tag that does not match its start");
                }
            }
            else if (type == (int)WireType.Group)
            {
                if (depth == MaximumGroupDepth)
                {
                    throw Invalid(start, $"groups nested more than {MaximumGroupDepth} deep");
                }

                open[depth++] = inner;
            }
            else
            {
                ReadValue(inner, type, start);
            }
        }
    }

    private void Skip(ulong count, long fieldStart)
    {
        if (count > (ulong)(_end - _position))
        {
            throw Invalid(fieldStart, $"a field of {count} bytes where the enclosing message has {_end - _position} left");
        }

        _position += (long)count;
    }

    private readonly OnnxFormatException Invalid(long offset, string what) =>
        new(_file.Path, $"not a valid ONNX model: {what}, at byte {offset}.");
}
