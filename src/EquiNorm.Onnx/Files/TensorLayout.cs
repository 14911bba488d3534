using EquiNorm.Files;
using EquiNorm.Onnx.Schema;

namespace EquiNorm.Onnx.Files;

/// <summary>
/// Where a TensorProto lies in the model file: the messages around it, its own field, the fields that hold its data, and
/// its parsed header. Element count = product of the dims, checked for overflow and negative extents.
/// </summary>
internal sealed class TensorLayout
{
    private TensorLayout(IReadOnlyList<WireField> enclosing, WireField field, TensorProto header, List<WireField> data, long elementCount)
    {
        Enclosing = enclosing;
        Field = field;
        Header = header;
        DataFields = data;
        ElementCount = elementCount;
    }

    /// <summary>The message fields around the tensor, outermost first.</summary>
    public IReadOnlyList<WireField> Enclosing { get; }

    /// <summary>The tensor's field in the innermost enclosing message.</summary>
    public WireField Field { get; }

    /// <summary>The header: everything but data.</summary>
    public TensorProto Header { get; }

    /// <summary>Raw and typed data fields in file order.</summary>
    public IReadOnlyList<WireField> DataFields { get; }

    /// <summary>Product of the dims; 1 for a scalar.</summary>
    public long ElementCount { get; }

    /// <summary>Whether data_location is EXTERNAL.</summary>
    public bool IsExternal => Header.DataLocation == 1;

    /// <summary>Locates a tensor.</summary>
    public static TensorLayout Read(MappedFile file, IReadOnlyList<WireField> enclosing, in WireField field)
    {
        var header = HeaderFilter.ReadTensor(file, field);
        var data = new List<WireField>();
        var reader = new WireReader(file, field);
        while (reader.Read(out var child))
        {
            if (child.Number is 4 or 5 or 6 or 7 or 9 or 10 or 11)
            {
                data.Add(child);
            }
        }

        return new TensorLayout(enclosing, field, header, data, CountElements(file, header));
    }

    private static long CountElements(MappedFile file, TensorProto header)
    {
        if (header.Segment is not null)
        {
            throw new OnnxFormatException(file.Path, $"tensor '{header.Name}' is stored in segments, which is not supported.");
        }

        long count = 1;
        bool empty = header.Dims.Contains(0);
        foreach (long extent in header.Dims)
        {
            if (extent < 0 || (!empty && count > long.MaxValue / 16 / extent))
            {
                throw new OnnxFormatException(file.Path, $"tensor '{header.Name}' has the impossible shape [{string.Join(", ", header.Dims)}].");
            }

            count = empty ? 0 : count * extent;
        }

        return count;
    }
}
