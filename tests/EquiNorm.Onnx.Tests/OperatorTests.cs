using EquiNorm.Onnx.Analysis;
using EquiNorm.Onnx.Operators;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests;

/// <summary>
/// Every row of the operator table, in a model of a linear operator, the operator and another linear operator: what becomes of the
/// channels between the two. And the ways in which each row blocks, with the reason that the report gives.
/// </summary>
[TestFixture]
internal sealed class OperatorTests
{
    private static readonly long[] Axes23 = [2, 3];
    private static readonly long[] Two = [2, 2];

    /// <summary>What is free after the operator; 0: all pinned, and the reason holds the text.</summary>
    private sealed record Row(string Operator, string Case, Func<RandomModel, string, string> Build, int Free, string Reason = "", int Opset = 17);

    private static readonly Row[] Table =
    [
        new("Relu", "", (m, x) => Tail(m, m.Relu(x)), 4),
        new("LeakyRelu", "", (m, x) => Tail(m, m.Apply("LeakyRelu", [x])), 4),
        new("Abs", "", (m, x) => Tail(m, m.Apply("Abs", [x])), 4),
        new("Neg", "", (m, x) => Tail(m, m.Apply("Neg", [x])), 4),
        new("Identity", "", (m, x) => Tail(m, m.Apply("Identity", [x])), 4),
        new("PRelu", "", (m, x) => Tail(m, m.Apply("PRelu", [x, m.Tensor(4, 1, 1)])), 4),
        new("PRelu", "computed slope", (m, x) => Tail(m, m.Apply("PRelu", [x, x])), 0, "slope"),
        new("MaxPool", "", (m, x) => Tail(m, m.Apply("MaxPool", [x], ("kernel_shape", Two))), 4),
        new("AveragePool", "", (m, x) => Tail(m, m.Apply("AveragePool", [x], ("kernel_shape", Two))), 4),
        new("LpPool", "", (m, x) => Tail(m, m.Apply("LpPool", [x], ("kernel_shape", Two))), 4),
        new("GlobalAveragePool", "", (m, x) => Tail(m, m.Apply("GlobalAveragePool", [x])), 4),
        new("GlobalMaxPool", "", (m, x) => Tail(m, m.Apply("GlobalMaxPool", [x])), 4),
        new("GlobalLpPool", "", (m, x) => Tail(m, m.Apply("GlobalLpPool", [x])), 4),
        new("MaxPool", "channels last", (m, x) => Tail(m, m.Apply("MaxPool", [m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 3, 1 }))], ("kernel_shape", Two)), 4), 0, "axis 1"),
        new("Pad", "", (m, x) => Tail(m, m.Apply("Pad", [x, m.Shape(0, 0, 1, 1, 0, 0, 1, 1)])), 4),
        new("Pad", "reflect", (m, x) => Tail(m, m.Apply("Pad", [x, m.Shape(0, 0, 1, 1, 0, 0, 1, 1)], ("mode", "reflect"))), 4),
        new("Pad", "before 11", (m, x) => Tail(m, m.Apply("Pad", [x], ("pads", new long[] { 0, 0, 1, 1, 0, 0, 1, 1 }))), 4, Opset: 9),
        new("Pad", "constant", (m, x) => Tail(m, m.Apply("Pad", [x, m.Shape(0, 0, 1, 1, 0, 0, 1, 1), m.Tensor([2.0])])), 0, "not zero"),
        new("Pad", "channels", (m, x) => Tail(m, m.Apply("Pad", [x, m.Shape(0, 1, 0, 0, 0, 0, 0, 0)]), 5), 0, "pads the channels"),
        new("Resize", "", (m, x) => Tail(m, m.Apply("Resize", [x, "", m.Tensor([1.0, 1, 2, 2], 4)], ("mode", "nearest"))), 4),
        new("Resize", "sizes", (m, x) => Tail(m, m.Apply("Resize", [x, "", "", m.Shape(2, 4, 8, 8)], ("mode", "linear"))), 4),
        new("Resize", "channels", (m, x) => Tail(m, m.Apply("Resize", [x, "", m.Tensor([1.0, 2, 2, 2], 4)]), 8), 0, "resize the channels"),
        new("Upsample", "", (m, x) => Tail(m, m.Apply("Upsample", [x, m.Tensor([1.0, 1, 2, 2], 4)])), 4, Opset: 9),
        new("Dropout", "", (m, x) => Tail(m, m.Apply("Dropout", [x])), 4),
        new("Dropout", "of nothing", (m, x) => Tail(m, m.Apply("Dropout", [x, m.Tensor([0.0]), m.Apply("Cast", [m.Tensor([1.0])], ("to", 9L))])), 4),
        new("Dropout", "in training", (m, x) => Tail(m, m.Apply("Dropout", [x, m.Tensor([0.5]), m.Apply("Cast", [m.Tensor([1.0])], ("to", 9L))])), 0, "training"),
        new("Dropout", "before 7", (m, x) => Tail(m, m.Apply("Dropout", [x])), 0, "training", 6),
        new("Clip", "relu", (m, x) => Tail(m, m.Apply("Clip", [x, m.Tensor([0.0])])), 4),
        new("Clip", "relu6", (m, x) => Tail(m, m.Apply("Clip", [x, m.Tensor([0.0]), m.Tensor([6.0])])), 0, "[0, 6]"),
        new("Clip", "before 11", (m, x) => Tail(m, m.Apply("Clip", [x], ("min", 0f))), 4, Opset: 9),
        new("Cast", "", (m, x) => Tail(m, m.Apply("Cast", [x], ("to", 1L))), 4),
        new("Cast", "to integers", (m, x) => Tail(m, m.Apply("Cast", [m.Apply("Cast", [x], ("to", 7L))], ("to", 11L))), 0, "not floating-point"),
        new("ReduceMean", "", (m, x) => Tail(m, m.Apply("ReduceMean", [x], ("axes", Axes23))), 4),
        new("ReduceMean", "squeezed", (m, x) => m.Gemm(m.Apply("ReduceMean", [x], ("axes", Axes23), ("keepdims", 0L)), 2, 4), 4),
        new("ReduceMean", "channels", (m, x) => Tail(m, m.Apply("ReduceMean", [x], ("axes", new long[] { 1 })), 1), 0, "over the channels"),
        new("ReduceMean", "an axis spelt twice", (m, x) => m.Apply("Conv", [m.Apply("ReduceMean", [x], ("axes", new long[] { 3, -1 }), ("keepdims", 0L)), m.Tensor(2, 4, 3)]), 4),
        new("ReduceSum", "", (m, x) => Tail(m, m.Apply("ReduceSum", [x, m.Shape(-1, -2)])), 4),
        new("ReduceMax", "", (m, x) => Tail(m, m.Apply("ReduceMax", [x], ("axes", Axes23))), 4),
        new("ReduceMin", "", (m, x) => Tail(m, m.Apply("ReduceMin", [x], ("axes", Axes23))), 4),
        new("ReduceL1", "", (m, x) => Tail(m, m.Apply("ReduceL1", [x], ("axes", Axes23))), 4),
        new("ReduceL2", "", (m, x) => Tail(m, m.Apply("ReduceL2", [x], ("axes", Axes23))), 4),
        new("Flatten", "", (m, x) => m.Gemm(m.Apply("Flatten", [x]), 2, 64), 4),
        new("Flatten", "over the batch", (m, x) => m.Gemm(m.Apply("Flatten", [x], ("axis", 2L)), 2, 16), 0, "merges"),
        new("Reshape", "", (m, x) => m.Gemm(m.Apply("Reshape", [x, m.Shape(2, -1)]), 2, 64), 4),
        new("Reshape", "features known", (m, x) => m.Gemm(m.Apply("Reshape", [x, m.Shape(-1, 64)]), 2, 64), 4),
        new("Reshape", "computed", (m, x) => m.Gemm(m.Apply("Reshape", [x, ComputedShape(m, x)]), 2, 64), 4),
        new("Gemm", "channels among the rows", (m, x) => m.Gemm(m.Apply("Reshape", [x, m.Shape(-1, 4)]), 2, 4), 0, "not the last axis"),
        new("Reshape", "splitting", (m, x) => m.Apply("MatMul", [m.Apply("Reshape", [x, m.Shape(2, 2, 32)]), m.Tensor(32, 2)]), 2),
        new("Reshape", "a target that is not known", (m, x) => m.Apply("Reshape", [x, m.Apply("Cast", [m.Tensor([2.0, 64.0], 2)], ("to", 7L))]), 0, "stay together"),
        new("Transpose", "", (m, x) => m.Apply("MatMul", [m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 3, 1 })), m.Tensor(4, 2)]), 4),
        new("Squeeze", "", (m, x) => m.Gemm(m.Apply("Squeeze", [m.Apply("GlobalAveragePool", [x]), m.Shape(2, 3)]), 2, 4), 4),
        new("Squeeze", "all", (m, x) => m.Gemm(m.Apply("Squeeze", [m.Apply("GlobalAveragePool", [x])]), 2, 4), 4),
        new("Transpose", "invalid", (m, x) => m.Gemm(m.Apply("Reshape", [m.Apply("Transpose", [x], ("perm", new long[] { 0, 0, 0, 0 })), m.Shape(2, -1)]), 2, 8), 0, "permutation"),
        new("Squeeze", "an axis spelt twice", (m, x) => m.Apply("Conv", [m.Apply("Squeeze", [m.Apply("GlobalAveragePool", [x]), m.Shape(3, -1)]), m.Tensor(2, 4, 1)]), 4),
        new("Unsqueeze", "", (m, x) => Tail(m, m.Apply("Squeeze", [m.Apply("Unsqueeze", [x, m.Shape(0)]), m.Shape(0)])), 4),
        new("Sum", "", (m, x) => Tail(m, m.Apply("Sum", [x, m.Relu(x), m.Conv(x, 4, 4)])), 4),
        new("Sum", "an operand left out", (m, x) => Tail(m, m.Apply("Sum", [x, ""])), 0, "adds a constant"),
        new("Mean", "", (m, x) => Tail(m, m.Apply("Mean", [x, m.Conv(x, 4, 4)])), 4),
        new("Max", "", (m, x) => Tail(m, m.Apply("Max", [x, m.Conv(x, 4, 4)])), 4),
        new("Min", "", (m, x) => Tail(m, m.Apply("Min", [x, m.Conv(x, 4, 4)])), 4),
        new("Max", "zero", (m, x) => Tail(m, m.Apply("Max", [x, m.Tensor([0.0])])), 4),
        new("Max", "one", (m, x) => Tail(m, m.Apply("Max", [x, m.Tensor([1.0])])), 0, "not rescaled"),
        new("Add", "", (m, x) => Tail(m, m.Apply("Add", [x, m.Conv(x, 4, 4)])), 4),
        new("Add", "constant", (m, x) => Tail(m, m.Apply("Add", [x, m.Tensor(1, 4, 1, 1)])), 4),
        new("Add", "one number", (m, x) => Tail(m, m.Apply("Add", [x, m.Tensor([1.0])])), 0, "per channel"),
        new("Add", "one channel to many", (m, x) => Tail(m, m.Apply("Add", [x, m.Conv(x, 1, 4)])), 1),
        new("Add", "the input", (m, x) => Tail(m, m.Apply("Add", [m.Conv(x, 3, 4), "x"]), 3), 4, "not rescaled"),
        new("Add", "channels elsewhere", (m, x) => Tail(m, m.Apply("Add", [x, m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 3, 1 }))])), 0, "line up"),
        new("Sub", "", (m, x) => Tail(m, m.Apply("Sub", [m.Tensor(4, 1, 1), x])), 4),
        new("Mul", "constant", (m, x) => Tail(m, m.Apply("Mul", [m.Tensor([3.0]), x])), 4),
        new("Mul", "gate", (m, x) => Tail(m, m.Apply("Mul", [m.Apply("Sigmoid", [m.Conv(x, 4, 4)]), x])), 4),
        new("Mul", "square", (m, x) => Tail(m, m.Apply("Mul", [x, x])), 0, "multiplies two activations"),
        new("Div", "", (m, x) => Tail(m, m.Apply("Div", [x, m.Tensor(4, 1, 1)])), 4),
        new("Div", "denominator", (m, x) => Tail(m, m.Apply("Div", [m.Tensor([1.0]), x])), 0, "divides by"),
        new("BatchNormalization", "folded", (m, x) => Tail(m, m.Norm(m.Conv(x, 4, 4), 4)), 8),
        new("BatchNormalization", "not folded", (m, x) => Tail(m, m.Norm(m.Relu(x), 4)), 8),
        new("BatchNormalization", "training", (m, x) => Tail(m, m.Apply("BatchNormalization", [m.Relu(x), m.Tensor(4), m.Tensor(4), m.Tensor(4), m.Tensor(4)], ("training_mode", 1L))), 0, "training"),
        new("Concat", "", (m, x) => Tail(m, m.Apply("Concat", [x, "x", m.Relu(x)], ("axis", 1L)), 11), 4),
        new("Concat", "other axis", (m, x) => Tail(m, m.Apply("Concat", [x, m.Conv(x, 4, 4)], ("axis", -1L))), 4),
        new("Concat", "too many channels", (m, x) => Enumerable.Range(0, 40).Aggregate(x, (y, _) => m.Apply("Concat", [y, y], ("axis", 1L))), 0, "joins more than"),
        new("Split", "", (m, x) => Tail(m, Part(m, x, 1, []), 2), 4),
        new("Split", "sizes", (m, x) => Tail(m, Part(m, x, 1, [m.Shape(1, 3)]), 1), 4),
        new("Split", "other axis", (m, x) => Tail(m, Part(m, x, 3, [])), 4),
        new("Slice", "", (m, x) => Tail(m, m.Apply("Slice", [x, m.Shape(1), m.Shape(long.MaxValue), m.Shape(1), m.Shape(2)]), 2), 4),
        new("Slice", "backwards", (m, x) => Tail(m, m.Apply("Slice", [x, m.Shape(-1), m.Shape(long.MinValue), m.Shape(1), m.Shape(-1)])), 4),
        new("Slice", "other axis", (m, x) => Tail(m, m.Apply("Slice", [x, m.Shape(1), m.Shape(3), m.Shape(2)])), 4),
        new("Slice", "before 10", (m, x) => Tail(m, m.Apply("Slice", [x], ("starts", new long[] { 1 }), ("ends", new long[] { 3 }), ("axes", new long[] { 1 })), 2), 4, Opset: 9),
        new("Gather", "", (m, x) => Tail(m, m.Apply("Gather", [x, m.Shape(3, 1, 0, 2)], ("axis", 1L))), 4),
        new("Gather", "other axis", (m, x) => Tail(m, m.Apply("Gather", [x, m.Shape(0, 2)], ("axis", 2L))), 4),
        new("Conv", "", (m, x) => Tail(m, m.Conv(x, 4, 4)), 8),
        new("Conv", "computed weight", (m, x) => m.Apply("Conv", [x, m.Apply("Sigmoid", [m.Tensor(2, 4, 1, 1)])]), 0, "not stored"),
        new("Gemm", "", (m, x) => m.Gemm(m.Gemm(m.Apply("Flatten", [x]), 3, 64), 2, 3), 7),
        new("Gemm", "transposed activation", (m, x) => m.Apply("Gemm", [m.Apply("Flatten", [x]), m.Tensor(2, 5)], ("transA", 1L)), 0, "transposes"),
        new("Gemm", "one bias for all", (m, x) => m.Gemm(m.Apply("Gemm", [m.Apply("Flatten", [x]), m.Tensor(64, 3), m.Tensor(1)]), 2, 3), 4, "bias"),
        new("MatMul", "", (m, x) => m.Apply("MatMul", [m.Apply("MatMul", [m.Apply("Flatten", [x]), m.Tensor(64, 3)]), m.Tensor(3, 2)]), 7),
        new("MatMul", "constant on the left", (m, x) => Tail(m, m.Apply("MatMul", [m.Tensor(4, 4), x])), 4),
        new("MatMul", "constant on the left, over the channels", (m, x) => Tail(m, m.Apply("MatMul", [m.Tensor(4, 4), m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 1, 3 }))])), 0, "sums over the channels"),
        new("MatMul", "two activations", (m, x) => Tail(m, m.Apply("MatMul", [x, x])), 0, "do not cancel"),
        new("MatMul", "by values", (m, x) => Tail(m, m.Apply("MatMul", [m.Apply("Softmax", [m.Conv("x", 4, 3)]), x])), 4),
        new("MatMul", "by rows that carry channels", (m, x) => m.Apply("MatMul", [m.Apply("Softmax", [m.Tensor(4, 4)]), m.Apply("Reshape", [x, m.Shape(2, 4, 16)])]), 0, "sums over the channels"),
        new("MatMul", "behind a Transpose", (m, x) => m.Apply("MatMul", [m.Apply("Flatten", [x]), m.Apply("Transpose", [m.Tensor(3, 64)])]), 4),
        new("MatMul", "behind a Transpose of two readers", TwoTransposed, 0, "neither stored"),
        new("LayerNormalization", "", (m, x) => m.Linear(m.LayerNorm(ChannelsLast(m, x), 4), 2, 4), 4, "normalises its channels"),
        new("LayerNormalization", "two axes", (m, x) => Tail(m, m.Apply("LayerNormalization", [x, m.Tensor(4, 4)], ("axis", -2L))), 0, "several axes"),
        new("LayerNormalization", "computed gain", (m, x) => m.Linear(m.Apply("LayerNormalization", [ChannelsLast(m, x), m.Apply("Exp", [m.Tensor(4)])]), 2, 4), 0, "its gain"),
        new("LayerNormalization", "computed bias", (m, x) => m.Linear(m.Apply("LayerNormalization", [ChannelsLast(m, x), m.Tensor(4), m.Apply("Exp", [m.Tensor(4)])]), 2, 4), 0, "its bias"),
        new("RMSNormalization", "", (m, x) => m.Linear(m.Apply("RMSNormalization", [ChannelsLast(m, x), m.Tensor(4)]), 2, 4), 4, "normalises its channels", 23),
        new("SimplifiedLayerNormalization", "", (m, x) => m.Linear(m.Apply("SimplifiedLayerNormalization", [ChannelsLast(m, x), m.Tensor(4)]), 2, 4), 4, "normalises its channels"),
        new("InstanceNormalization", "", (m, x) => Tail(m, m.Apply("InstanceNormalization", [x, m.Tensor(4), m.Tensor(4)])), 4, "normalises its channels"),
        new("GroupNormalization", "", (m, x) => Tail(m, m.Apply("GroupNormalization", [x, m.Tensor(4), m.Tensor(4)], ("num_groups", 2L))), 4, "normalises its channels", 21),
        new("GroupNormalization", "before 21", (m, x) => Tail(m, m.Apply("GroupNormalization", [x, m.Tensor(2), m.Tensor(2)], ("num_groups", 2L))), 0, "one per group", 18),
        new("Expand", "", (m, x) => Tail(m, m.Apply("Reshape", [m.Apply("Expand", [m.Apply("Unsqueeze", [x, m.Shape(2)]), m.Shape(2, 4, 3, 4, 4)]), m.Shape(2, 12, 4, 4)]), 12), 4),
        new("Expand", "to an unknown shape", (m, x) => Tail(m, m.Apply("Expand", [x, m.Apply("Cast", [m.Tensor(4)], ("to", 7L))])), 0, "repeats to"),
        new("Tile", "", (m, x) => Tail(m, m.Apply("Tile", [x, m.Shape(1, 2, 1, 1)]), 8), 4),
        new("Tile", "not constant", (m, x) => Tail(m, m.Apply("Tile", [x, m.Apply("Cast", [m.Tensor(4)], ("to", 7L))])), 0, "how often"),
        new("Softmax", "heads", (m, x) => Tail(m, m.Apply("Softmax", [m.Apply("Reshape", [x, m.Shape(2, 2, 2, 4, 4)])])), 0, "Softmax"),
        new("Add", "a constant, heads", (m, x) => m.Apply("Add", [m.Apply("Reshape", [x, m.Shape(2, 2, 2, 16)]), m.Tensor(2, 2, 1)]), 0, "spread over several axes"),
        new("ReduceMean", "heads", (m, x) => m.Apply("ReduceMean", [m.Apply("Reshape", [x, m.Shape(2, 2, 2, 16)])], ("axes", new long[] { 1 })), 0, "over the channels"),
        new("Shape", "", (m, x) => Tail(m, m.Apply("Mul", [x, m.Apply("Cast", [m.Apply("Gather", [m.Apply("Shape", [x]), m.Shape(0)])], ("to", 11L))])), 4),
        new("Size", "", (m, x) => Tail(m, m.Apply("Mul", [x, m.Apply("Cast", [m.Apply("Size", [x])], ("to", 11L))])), 4),
        new("Tanh", "unknown", (m, x) => Tail(m, m.Apply("Tanh", [x])), 0, "Tanh 'Tanh_"),
        new("ConvTranspose", "", (m, x) => Tail(m, m.Apply("ConvTranspose", [x, m.Tensor(4, 2, 3, 3)], ("group", 2L))), 8),
        new("ConvTranspose", "computed weight", (m, x) => m.Apply("ConvTranspose", [x, m.Apply("Sigmoid", [m.Tensor(4, 2, 1, 1)])]), 0, "not stored"),
        new("ConvTranspose", "groups that do not fit", (m, x) => m.Apply("ConvTranspose", [x, m.Tensor(4, 2, 3, 3)], ("group", 3L)), 0, "fit its groups"),
        new("DepthToSpace", "", (m, x) => Tail(m, m.Apply("DepthToSpace", [x], ("blocksize", 2L)), 1), 1),
        new("DepthToSpace", "blocks that do not fit", (m, x) => Tail(m, m.Apply("DepthToSpace", [x], ("blocksize", 3L)), 1), 0, "divide into blocks"),
        new("SpaceToDepth", "", (m, x) => Tail(m, m.Apply("SpaceToDepth", [x], ("blocksize", 2L)), 16), 4),
        new("SpaceToDepth", "channels last", (m, x) => Tail(m, m.Apply("SpaceToDepth", [m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 3, 1 }))], ("blocksize", 2L)), 16), 0, "axis 1"),
        new("HardSwish", "unknown", (m, x) => Tail(m, m.Apply("HardSwish", [x])), 0, "HardSwish"),
        new("MaxPool", "split channels", (m, x) => Tail(m, m.Apply("MaxPool", [m.Apply("Transpose", [m.Apply("Reshape", [x, m.Shape(2, 2, 2, 4, 4)])], ("perm", new long[] { 0, 3, 4, 1, 2 }))], ("kernel_shape", new long[] { 1, 1, 1 }))), 0, "spread its channels"),
        new("network output", "split channels", (m, x) => m.Apply("Reshape", [x, m.Shape(2, 2, 2, 4, 4)]), 0, "network output"),
        new("LRN", "split channels", (m, x) => Tail(m, m.Apply("LRN", [m.Apply("Reshape", [x, m.Shape(2, 2, 2, 4, 4)])])), 0, "LRN"),
        new("Softmax", "unknown", (m, x) => Tail(m, m.Apply("Softmax", [x])), 0, "Softmax"),
    ];

    private static IEnumerable<TestCaseData> Rows() => Table.Select((r, i) => new TestCaseData(i).SetArgDisplayNames($"{r.Operator} {r.Case}".Trim()));

    [TestCaseSource(nameof(Rows))]
    public void The_channels_in_front_are(int index)
    {
        var row = Table[index];
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(index, row.Opset);
        m.Writer.Input("x", 2, 3, 4, 4);
        m.Writer.Output(row.Build(m, m.Conv("x", 4, 3)));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        string groups = string.Join("\n", network.Network.Groups);
        Assert.That(network.Network.FreeChannelCount, Is.EqualTo(row.Free), groups);
        Assert.That(groups, Does.Contain(row.Reason));
        if (row.Reason.Length > 0)
        {
            Assert.That(groups, Does.Contain(row.Operator));
        }
    }

    [Test]
    public void Depth_is_counted_through_operators_that_pin()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(5);
        m.Writer.Input("x", 2, 3, 4, 4);
        var gate = m.Apply("Sigmoid", [m.Conv("x", 4, 3)]);
        var sum = m.Apply("Sub", [m.Apply("Exp", [gate]), m.Apply("Softmax", [m.Apply("Tanh", [gate])])]);
        m.Writer.Output(m.Conv(m.Relu(m.Conv(sum, 4, 4)), 2, 4));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.Weights.Where(w => w.Role == EquiNorm.Model.WeightRole.Weight).Select(w => w.Height), Is.EqualTo(new[] { 2, 1, 0 }));
    }

    [Test]
    public void Every_row_of_the_table_has_a_test() =>
        Assert.That(OperatorTable.Rows.Keys, Is.SubsetOf(Table.Select(r => r.Operator)));

    [Test]
    public void An_operator_of_another_domain_blocks()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4);
        string x = m.Conv("x", 4, 3);
        m.Writer.Child(1, m.Writer.NodeMessage("Relu", [x], ["y"]).Text(7, "com.example"));
        m.Writer.Output(Tail(m, "y"));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.FreeChannelCount, Is.Zero);
        Assert.That(network.Network.Groups.Select(g => g.PinnedBecause), Has.Some.Contains("com.example"));
    }

    [Test]
    public void What_a_subgraph_reads_is_pinned()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4).Input("c");
        string x = m.Conv("x", 4, 3), w = m.Tensor(4, 4, 1, 1);
        string y = m.Apply("Conv", [m.Conv(x, 4, 4), w]);
        var branch = new OnnxModelWriter().Node("Conv", [x, w], ["inner"]).Output("inner");
        m.Writer.Node("If", ["c"], ["z"], ("then_branch", branch), ("else_branch", branch));
        m.Writer.Output(Tail(m, y)).Output("z");
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.FreeChannelCount, Is.Zero, string.Join("\n", network.Network.Groups));
        Assert.That(network.Network.Groups.Select(g => g.PinnedBecause), Has.Some.Contains("read inside If"));
    }

    [Test]
    public void Inputs_with_many_channels_are_not_joined()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4).Input("many", 2, 1 << 22, 4, 4);
        m.Writer.Output(m.Apply("Concat", [m.Conv("x", 4, 3), "many"], ("axis", 1L)));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.ChannelCount, Is.LessThan(100));
        Assert.That(network.Network.Groups.Select(g => g.PinnedBecause), Has.Some.Contains("joins more than"));
    }

    [Test]
    public void The_rank_behind_many_Gathers_is_limited()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 1, 1);
        m.Writer.Output(Enumerable.Range(0, 60).Aggregate("x", (y, _) => m.Apply("Gather", [y, y])));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.ChannelCount, Is.Zero);
    }

    [Test]
    public void A_recorded_shape_without_a_place_for_the_channels_is_refused()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4);
        string part = m.Apply("DepthToSpace", [m.Conv("x", 4, 3)], ("blocksize", 2L));
        m.Writer.Shape(part, 2).Output(m.Relu(part));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        Assert.That(() => model.Analyze(), Throws.TypeOf<OnnxFormatException>().With.Message.Contains($"'{part}'").And.Message.Contains("DepthToSpace"));
    }

    [Test]
    public void No_channels_can_be_sliced_backwards()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4);
        string none = m.Apply("Slice", [m.Conv("x", 4, 3), m.Shape(4), m.Shape(4), m.Shape(1)]);
        m.Writer.Output(m.Apply("Slice", [none, m.Shape(-1), m.Shape(long.MinValue), m.Shape(1), m.Shape(-1)]));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        Assert.That(() => model.Analyze().Dispose(), Throws.Nothing);
    }

    [Test]
    public void Pooling_blocks_where_the_channels_may_be_another_axis()
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Child(11, m.Writer.NewMessage().Text(1, "x")); // of unknown rank
        string pooled = m.Apply("MaxPool", [m.Apply("MatMul", ["x", m.Tensor(3, 4)])], ("kernel_shape", Two));
        m.Writer.Output(m.Apply("MatMul", [pooled, m.Tensor(4, 2)]));
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        using var network = model.Analyze();
        Assert.That(network.Network.FreeChannelCount, Is.Zero);
        Assert.That(network.Network.Groups.Select(g => g.PinnedBecause), Has.Some.Contains("not axis 1"));
    }

    [TestCase(1)]
    [TestCase(3)]
    public void Parts_have_extents_of_their_own(long axis)
    {
        using var directory = new TemporaryDirectory();
        var m = new RandomModel(0);
        m.Writer.Input("x", 2, 3, 4, 4).Node("Split", [m.Conv("x", 4, 3), m.Shape(1, 3)], ["p", "q"], ("axis", axis)).Output("p").Output("q");
        using var model = OnnxModel.Open(m.Writer.Save(directory["m.onnx"]));
        var analysis = new GraphAnalysis(model.Layout, new OnnxOptions());
        analysis.Run();
        Assert.That(analysis.Value("p")!.Shape![axis], Is.Not.EqualTo(analysis.Value("q")!.Shape![axis]));
    }

    private static string Tail(RandomModel m, string x, long channels = 4) => m.Conv(x, 2, channels);

    // [N, C, H, W] -> [N, H, W, C].
    private static string ChannelsLast(RandomModel m, string x) => m.Apply("Transpose", [x], ("perm", new long[] { 0, 2, 3, 1 }));

    private static string TwoTransposed(RandomModel m, string x)
    {
        string w = m.Apply("Transpose", [m.Tensor(3, 64)]), y = m.Apply("Flatten", [x]);
        return m.Apply("Add", [m.Apply("MatMul", [y, w]), m.Apply("MatMul", [y, w])]);
    }

    private static string Part(RandomModel m, string x, long axis, string[] sizes)
    {
        string[] parts = [m.Value(), m.Value()];
        m.Writer.Node("Split", [x, .. sizes], parts, ("axis", axis));
        return parts[0];
    }

    // What exporters write for x.view(x.size(0), -1).
    private static string ComputedShape(RandomModel m, string x)
    {
        m.Writer.Integers("zero", [], 0).Integers("axes", [1], 0);
        string batch = m.Apply("Unsqueeze", [m.Apply("Gather", [m.Apply("Shape", [x]), "zero"], ("axis", 0L)), "axes"]);
        return m.Apply("Concat", [batch, m.Shape(-1)], ("axis", 0L));
    }
}
