using System.Runtime.InteropServices;
using EquiNorm.Files;
using EquiNorm.Onnx.Files;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests.Files;

/// <summary>What is not changed survives byte for byte; what is changed is changed where it lies.</summary>
[TestFixture]
internal sealed class RoundTripTests
{
    private static readonly string[] FloatTensors = ["raw", "packed", "scattered", "doubles", "halves", "bfloats"];

    [Test]
    public void Unmodified_model_is_written_byte_for_byte([Values(0, 1, 3)] int padding)
    {
        using var directory = new TemporaryDirectory();
        byte[] source = SampleModels.Unknown(new ProtoMessage { Padding = padding }.Raw(SampleModels.Rich(padding).ToArray())).ToArray();
        File.WriteAllBytes(directory["in.onnx"], source);
        var layout = LayoutReader.Open(directory["in.onnx"]);
        ModelWriter.Write(layout, new ModelEdits(layout), directory["out.onnx"], default);
        Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.EqualTo(source));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [Test]
    public void Identity_transforms_of_tensors_in_one_piece_change_nothing([Values(0, 2)] int padding)
    {
        using var directory = new TemporaryDirectory();
        byte[] source = SampleModels.Rich(padding).ToArray();
        File.WriteAllBytes(directory["in.onnx"], source);
        var layout = LayoutReader.Open(directory["in.onnx"]);
        var edits = new ModelEdits(layout);
        foreach (var tensor in layout.Initializers.Where(t => t.DataFile is not null))
        {
            edits.Transform(tensor, (_, _) => { });
        }

        ModelWriter.Write(layout, edits, directory["out.onnx"], default);
        Assert.That(File.ReadAllBytes(directory["out.onnx"]), Is.EqualTo(source));
    }

    [Test]
    public void Typed_data_of_every_kind_is_read([ValueSource(nameof(FloatTensors))] string name, [Values(0, 2)] int padding)
    {
        using var directory = new TemporaryDirectory();
        var layout = LayoutReader.Open(SampleModels.Rich(padding).Save(directory["in.onnx"]));
        var tensor = layout.Initializers.Single(t => t.Name == name);
        Assert.That(tensor.Reals(), Is.EqualTo(SampleModels.Weights.Select(w => (double)w)));
        Assert.That(layout.Nodes.Single(n => n.Header.OpType == "Constant").Value!.Reals(), Has.Length.EqualTo(6));
    }

    [Test]
    public void Integers_are_read()
    {
        using var directory = new TemporaryDirectory();
        var layout = LayoutReader.Open(SampleModels.Rich(0).Save(directory["in.onnx"]));
        Assert.That(layout.Initializers.Single(t => t.Name == "shape").Integers(8), Is.EqualTo(new long[] { 0, -1 }));
        Assert.That(layout.Initializers.Single(t => t.Name == "raw").Integers(8), Is.Null);
    }

    [Test]
    public void A_transform_changes_one_tensor_only([ValueSource(nameof(FloatTensors))] string name)
    {
        using var directory = new TemporaryDirectory();
        var layout = LayoutReader.Open(SampleModels.Rich(1).Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        var tensor = layout.Initializers.Single(t => t.Name == name);
        edits.Transform(tensor, (_, bytes) => Negate(tensor.DataType, bytes));
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);

        var result = LayoutReader.Open(directory["out.onnx"]);
        foreach (string other in FloatTensors)
        {
            double sign = other == name ? -1 : 1;
            Assert.That(result.Initializers.Single(t => t.Name == other).Reals(), Is.EqualTo(SampleModels.Weights.Select(w => sign * w)), other);
        }

        Assert.That(result.Nodes, Has.Count.EqualTo(2));
        Assert.That(new FileInfo(directory["out.onnx"]).Length, tensor.DataFile is null ? Is.Not.Zero : Is.EqualTo(layout.File.Length));
    }

    [Test]
    public void A_Constants_value_can_be_transformed()
    {
        using var directory = new TemporaryDirectory();
        var layout = LayoutReader.Open(SampleModels.Rich(0).Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Nodes[0].Value!, (_, bytes) => Negate(OnnxDataType.Float, bytes));
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);
        Assert.That(LayoutReader.Open(directory["out.onnx"]).Nodes[0].Value!.Reals(), Is.EqualTo(SampleModels.Weights.Select(w => -(double)w)));
    }

    [Test]
    public void Names_nodes_and_initializers_can_be_edited()
    {
        using var directory = new TemporaryDirectory();
        var layout = LayoutReader.Open(SampleModels.Rich(2).Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        edits.RenameInput(layout.Nodes[1], 1, "a much longer name than before");
        edits.RenameInput(layout.Nodes[1], 3, "fourth");
        edits.RenameOutput(layout.Nodes[1], 0, "z");
        edits.Drop(layout.Nodes[0]);
        edits.Drop(layout.Initializers[1]);
        edits.Add("bias", [2], OnnxDataType.Float, new LiteralPiece(MemoryMarshal.AsBytes([1f, 2f]).ToArray()));
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);

        var result = LayoutReader.Open(directory["out.onnx"]);
        Assert.That(result.Nodes.Single().Header.Input, Is.EqualTo(new[] { "x", "a much longer name than before", "", "fourth" }));
        Assert.That(result.Nodes.Single().Header.Output.Single(), Is.EqualTo("z"));
        Assert.That(result.Initializers.Select(t => t.Name), Does.Not.Contain("packed").And.Contains("bias"));
        Assert.That(result.Initializers[^1].Reals(), Is.EqualTo(new[] { 1d, 2d }));
    }

    [Test]
    public void A_large_tensor_is_transformed_in_chunks_of_whole_elements()
    {
        using var directory = new TemporaryDirectory();
        var values = new double[1_300_000];
        Array.Fill(values, 3);
        var layout = LayoutReader.Open(new OnnxModelWriter().Doubles("w", [13, 100_000], values).Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        long next = 0;
        edits.Transform(layout.Initializers[0], (first, bytes) =>
        {
            Assert.That(first, Is.EqualTo(next));
            Assert.That(bytes.Length, Is.LessThanOrEqualTo(PieceWriter.ChunkBytes));
            next += bytes.Length / 8;
        });
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);
        Assert.That(next, Is.EqualTo(values.Length));
    }

    [Test]
    public void A_failing_transform_leaves_the_target_as_it_was()
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory["out.onnx"], "before");
        var layout = LayoutReader.Open(SampleModels.Rich(0).Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Initializers[0], (_, _) => throw new ArithmeticException());
        Assert.That(() => ModelWriter.Write(layout, edits, directory["out.onnx"], default), Throws.TypeOf<ArithmeticException>());
        using var cancelled = new CancellationTokenSource();
        cancelled.Cancel();
        Assert.That(() => ModelWriter.Write(layout, new ModelEdits(layout), directory["out.onnx"], cancelled.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(File.ReadAllText(directory["out.onnx"]), Is.EqualTo("before"));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [Test]
    public void The_source_can_be_its_own_target()
    {
        using var directory = new TemporaryDirectory();
        byte[] source = SampleModels.Rich(0).ToArray();
        File.WriteAllBytes(directory["m.onnx"], source);
        var layout = LayoutReader.Open(directory["m.onnx"]);
        ModelWriter.Write(layout, new ModelEdits(layout), directory["m.onnx"], default);
        Assert.That(layout.File.IsClosed, Is.EqualTo(OperatingSystem.IsWindows()));
        Assert.That(File.ReadAllBytes(directory["m.onnx"]), Is.EqualTo(source));
    }

    private static void Negate(OnnxDataType type, Span<byte> bytes)
    {
        int width = type.Bits() / 8;
        for (int i = width - 1; i < bytes.Length; i += width)
        {
            bytes[i] ^= 0x80; // the sign is the top bit of the last byte in every type used here
        }
    }
}
