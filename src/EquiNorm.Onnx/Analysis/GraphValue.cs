using EquiNorm.Model;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Analysis;

// What is known of a value (an edge of the graph). Its extents are in Shape (null: not even the rank is known). A small integer
// vector or scalar also knows its Elements, which is how shapes computed in the graph are followed.

/// <summary>Anything a node can read.</summary>
internal abstract record GraphValue
{
    /// <summary>Extents, or null if the rank is not known.</summary>
    public Extent[]? Shape { get; init; }

    /// <summary>The elements, if the value is a small vector or scalar of integers.</summary>
    public Extent[]? Elements { get; init; }
}

/// <summary>A tensor stored in the model, perhaps through Identity.</summary>
/// <param name="Tensor">The tensor; null for a number in a Constant's attribute.</param>
/// <param name="Name">The tensor's name.</param>
internal sealed record ConstantValue(OnnxTensor? Tensor, string Name) : GraphValue
{
    /// <summary>Elements that are no tensor (attributes value_float and the like).</summary>
    public double[]? Numbers { get; init; }

    /// <summary>Extents; empty for a scalar.</summary>
    public long[] Dims => Tensor is null ? (Shape!.Length == 0 ? [] : [Numbers!.Length]) : [.. Tensor.Dims];

    /// <summary>Elements in float64, or null if they are not floating-point numbers, or more than <paramref name="limit"/>.</summary>
    public double[]? Reals(long limit) =>
        Numbers ?? (Tensor is { HasBytes: true } t && t.ElementCount <= limit && t.DataType.ElementType() is not null ? t.Reals() : null);
}

/// <summary>A value with no factor on any of its channels: a network input, the result of a blocking operator, a mask, a shape.</summary>
/// <param name="Name">The value's name.</param>
/// <param name="Reason">Why it is not rescaled.</param>
internal sealed record PlainValue(string Name, string Reason) : GraphValue
{
    /// <summary>Its place in the data flow, for the depth of weights before it; null if no weight is.</summary>
    public ChannelAxis? Flow { get; init; }

    /// <summary>The stored matrix of which this is the transpose, if it is that and has one reader: a weight for an operator that can read it so.</summary>
    public TransposedMatrix? Transposed { get; init; }
}

/// <summary>A stored matrix behind a Transpose.</summary>
/// <param name="Constant">The matrix as it is stored.</param>
/// <param name="Node">The Transpose; its input 0 reads the matrix.</param>
internal sealed record TransposedMatrix(ConstantValue Constant, NodeLayout Node);

/// <summary>An activation whose channels carry factors.</summary>
/// <param name="Axis">The channels.</param>
internal abstract record ScaledValue(ChannelAxis Axis) : GraphValue;

/// <summary>
/// An activation whose factors depend on several axes: attention heads (head, channel), a step of a channel shuffle, features as an image.
/// The element at index i has the factor at (i[d] mod extent[d]), one per axis.
/// </summary>
/// <param name="Axis">The channels, in row order of <paramref name="Dims"/>.</param>
/// <param name="Dims">The axes, counted from the front, ascending.</param>
/// <param name="Extents">
/// How many factors follow each other along each axis before they repeat: the extent of the axis, or a divisor of it (an axis that joins a
/// batch of unknown size with heads).
/// </param>
internal sealed record SplitValue(ChannelAxis Axis, int[] Dims, int[] Extents) : ScaledValue(Axis);

/// <summary>An activation with its channels on one axis.</summary>
/// <param name="Axis">The channels.</param>
/// <param name="Dim">The channel axis counted from the back: -1 is the last. Broadcasting keeps it, whatever the rank.</param>
/// <param name="Positions">Consecutive positions per channel along that axis: 1; more behind a flatten; null if their number is not known.</param>
internal sealed record ChannelValue(ChannelAxis Axis, int Dim, long? Positions) : ScaledValue(Axis)
{
    /// <summary>The channel axis from the front, or null if the rank is not known.</summary>
    public int? FrontDim => Shape is null ? null : Shape.Length + Dim;
}
