using System.Runtime.InteropServices;
using EquiNorm.Files;
using EquiNorm.Onnx.Files;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests.Files;

/// <summary>Tensors in data files: found, checked, refused where they leave the model's directory, and written beside the output.</summary>
[TestFixture]
internal sealed class ExternalDataTests
{
    private static readonly float[] Values = [1, 2, 3, 4, 5, 6, 7, 8];

    [Test]
    public void Tensors_of_one_file_keep_their_offsets_and_the_rest_of_the_file()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["weights.bin"], [9f, 9f, .. Values, 9f]);
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [4], ("location", "weights.bin"), ("offset", "8"), ("length", "16"), ("checksum", "abc")));
        model.Child(5, model.External("v", 1, [2, 2], ("location", "weights.bin"), ("offset", "24")));
        var layout = LayoutReader.Open(model.Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Initializers[1], Doubled);
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);

        Assert.That(ReadData(directory["out.onnx.data"]), Is.EqualTo(new[] { 9f, 9f, 1, 2, 3, 4, 10, 12, 14, 16, 9f }));
        var result = LayoutReader.Open(directory["out.onnx"]);
        Assert.That(result.Initializers[0].Reals(), Is.EqualTo(new[] { 1d, 2, 3, 4 }));
        Assert.That(result.Initializers[1].Reals(), Is.EqualTo(new[] { 10d, 12, 14, 16 }));
        Assert.That(result.Initializers[0].Layout.Header.ExternalData.Select(e => e.Key), Is.EqualTo(new[] { "location", "offset", "length" }));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(4));
    }

    [Test]
    public void Several_files_become_one_with_aligned_parts()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["a"], Values);
        WriteData(directory["b"], [.. Values.Reverse()]);
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [8], ("location", "a")));
        model.Node("Constant", [], ["c"], ("value", model.External("", 1, [8], ("location", "b"))));
        var body = new OnnxModelWriter();
        body.Child(5, body.External("inner", 1, [2], ("location", "b"), ("offset", "8"), ("length", "8")));
        model.Node("If", ["x"], ["y"], ("then_branch", body));
        var layout = LayoutReader.Open(model.Save(directory["in.onnx"]));
        Assert.That(layout.ExternalTensors, Has.Count.EqualTo(3));
        ModelWriter.Write(layout, new ModelEdits(layout), directory["out.onnx"], default);

        var result = LayoutReader.Open(directory["out.onnx"]);
        Assert.That(result.External.InOrder, Has.Count.EqualTo(1));
        Assert.That(result.Initializers[0].Reals()[0], Is.EqualTo(1));
        Assert.That(result.Nodes[0].Value!.DataStart, Is.EqualTo(4096));
        Assert.That(result.Nodes[0].Value!.Reals()[0], Is.EqualTo(8));
        Assert.That(result.ExternalTensors.Single(t => t.Name == "inner").Reals(), Is.EqualTo(new[] { 6d, 5 }));
    }

    [Test]
    public void A_model_can_replace_itself_and_its_data()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["m.onnx.data"], Values);
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [8], ("location", "m.onnx.data"), ("offset", "0"), ("length", "32")));
        byte[] before = model.ToArray();
        var layout = LayoutReader.Open(model.Save(directory["m.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Initializers[0], Doubled);
        ModelWriter.Write(layout, edits, directory["m.onnx"], default);
        Assert.That(File.ReadAllBytes(directory["m.onnx"]), Is.EqualTo(before));
        Assert.That(ReadData(directory["m.onnx.data"])[7], Is.EqualTo(16));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [TestCase("out.onnx", "out.onnx.data", "out.onnx.data")]
    [TestCase("out.bin", "out.bin", "out.bin")]
    public void An_output_that_would_replace_a_data_file_of_the_source_is_refused(string output, string location, string named)
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory[location], Values);
        var layout = LayoutReader.Open(Save(directory, ("location", location)));
        Assert.That(
            () => ModelWriter.Write(layout, new ModelEdits(layout), directory[output], default),
            Throws.TypeOf<IOException>().With.Message.Contains(directory[named]).And.Message.Contains(directory["m.onnx"]));
        Assert.That(ReadData(directory[location]), Is.EqualTo(Values));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [Test]
    public void An_output_whose_data_file_would_replace_the_model_is_refused()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [8], ("location", "w.bin")));
        var layout = LayoutReader.Open(model.Save(directory["m.data"]));
        Assert.That(() => ModelWriter.Write(layout, new ModelEdits(layout), directory["m"], default), Throws.TypeOf<IOException>());
        Assert.That(File.ReadAllBytes(directory["m.data"]), Is.EqualTo(model.ToArray()));
    }

    [Test]
    public void If_the_model_cannot_be_renamed_the_old_data_file_stays()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        WriteData(directory["out.onnx.data"], [1, 2, 3]);
        var model = new OnnxModelWriter().Floats("inline", [1], [1]);
        model.Child(5, model.External("w", 1, [8], ("location", "w.bin")));
        var layout = LayoutReader.Open(model.Save(directory["m.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Initializers[0], (_, _) => Directory.CreateDirectory(directory["out.onnx"]));
        Assert.That(() => ModelWriter.Write(layout, edits, directory["out.onnx"], default), Throws.InstanceOf<SystemException>());
        Assert.That(ReadData(directory["out.onnx.data"]), Is.EqualTo(new[] { 1f, 2, 3 }));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(3));
    }

    [Test]
    public void A_model_that_copies_make_too_large_is_refused_before_it_is_written()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        var layout = LayoutReader.Open(Save(directory, ("location", "w.bin")));
        var edits = new ModelEdits(layout);
        edits.Add("copy", [1L << 29], OnnxDataType.Float, new SourcePiece(layout.File, 0, 1L << 31));
        Assert.That(
            () => ModelWriter.Write(layout, edits, directory["out.onnx"], default), Throws.TypeOf<IOException>().With.Message.Contains("2 GB"));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [Test]
    public void Values_of_dropped_nodes_are_not_redirected()
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        var model = new OnnxModelWriter();
        model.Node("Constant", [], ["c"], ("value", model.External("", 1, [8], ("location", "w.bin")))).Node("Relu", ["x"], ["y"]);
        var layout = LayoutReader.Open(model.Save(directory["m.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Drop(layout.Nodes[0]);
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);
        Assert.That(LayoutReader.Open(directory["out.onnx"]).Nodes.Select(n => n.Header.OpType), Is.EqualTo(new[] { "Relu" }));
    }

    [TestCase(8)]
    [TestCase(999)]
    public void External_data_of_an_unknown_size_is_refused(int type)
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", type, [2], ("location", "w.bin")));
        string path = model.Save(directory["m.onnx"]);
        Assert.That(() => LayoutReader.Open(path), Throws.TypeOf<OnnxFormatException>().With.Message.Contains("'w'").And.Message.Contains($"type {type}"));
    }

    [Test]
    public void Offsets_beyond_two_gigabytes_work()
    {
        using var directory = new TemporaryDirectory();
        const long Offset = (1L << 31) + 4096;
        using (var file = File.Create(directory["big.bin"]))
        {
            file.Seek(Offset, SeekOrigin.Begin); // a hole: no disk space
            file.Write(MemoryMarshal.AsBytes(Values.AsSpan()));
        }

        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [8], ("location", "big.bin"), ("offset", Offset.ToString()), ("length", "32")));
        var layout = LayoutReader.Open(model.Save(directory["in.onnx"]));
        var edits = new ModelEdits(layout);
        edits.Transform(layout.Initializers[0], Doubled);
        ModelWriter.Write(layout, edits, directory["out.onnx"], default);
        Assert.That(LayoutReader.Open(directory["out.onnx"]).Initializers[0].Reals(), Is.EqualTo(Values.Select(v => 2d * v)));
    }

    [TestCase("/etc/hostname", "absolute")]
    [TestCase("C:\\data.bin", "absolute")]
    [TestCase("\\\\server\\data.bin", "absolute")]
    [TestCase("../data.bin", "leaves")]
    [TestCase("sub/../../data.bin", "leaves")]
    [TestCase("..\\data.bin", "leaves")]
    [TestCase("", "not a file name")]
    [TestCase("none.bin", "does not exist")]
    [TestCase("sub", "directory")]
    public void A_bad_location_is_refused(string location, string expected)
    {
        using var directory = new TemporaryDirectory();
        Directory.CreateDirectory(directory["sub"]);
        var error = Refused(directory, ("location", location));
        Assert.That(error.Message, Does.Contain(expected).And.Contains("'w'"));
    }

    [TestCase("8", "32", "wants")]
    [TestCase("18446744073709551615", "32", "not a number")]
    [TestCase("9223372036854775807", "32", "wants")]
    [TestCase("0", "9223372036854775807", "wants")]
    [TestCase("0", "-1", "not a number")]
    [TestCase("0", "16", "needs 32 bytes and has 16")]
    public void A_bad_range_is_refused(string offset, string length, string expected)
    {
        using var directory = new TemporaryDirectory();
        WriteData(directory["w.bin"], Values);
        Assert.That(Refused(directory, ("location", "w.bin"), ("offset", offset), ("length", length)).Message, Does.Contain(expected));
    }

    [Test]
    public void A_symbolic_link_out_of_the_directory_is_refused()
    {
        using var outside = new TemporaryDirectory();
        using var directory = new TemporaryDirectory();
        WriteData(outside["w.bin"], Values);
        WriteData(directory["real.bin"], Values);
        File.CreateSymbolicLink(directory["file"], outside["w.bin"]);
        Directory.CreateSymbolicLink(directory["folder"], outside.Path);
        File.CreateSymbolicLink(directory["inside"], directory["real.bin"]);
        File.CreateSymbolicLink(directory["loop"], directory["loop"]);
        Assert.That(Refused(directory, ("location", "file")).Message, Does.Contain("symbolic link"));
        Assert.That(Refused(directory, ("location", "folder/w.bin")).Message, Does.Contain("symbolic link"));
        Refused(directory, ("location", "loop"));
        Assert.That(LayoutReader.Open(Save(directory, ("location", "inside"))).Initializers, Has.Count.EqualTo(1));
    }

    [TestCase("/w.bin", "/", true)]
    [TestCase("/a/w.bin", "/a", true)]
    [TestCase("/ab/w.bin", "/a", false)]
    [TestCase("/a", "/a", false)]
    public void A_directory_may_be_the_root(string path, string directory, bool inside) =>
        Assert.That(
            Paths.IsInside(path.Replace('/', Path.DirectorySeparatorChar), directory.Replace('/', Path.DirectorySeparatorChar)), Is.EqualTo(inside));

    private static OnnxFormatException Refused(TemporaryDirectory directory, params (string, string)[] entries) =>
        Assert.Throws<OnnxFormatException>(() => LayoutReader.Open(Save(directory, entries)))!;

    private static string Save(TemporaryDirectory directory, params (string, string)[] entries)
    {
        var model = new OnnxModelWriter();
        model.Child(5, model.External("w", 1, [8], entries));
        return model.Save(directory["m.onnx"]);
    }

    private static void Doubled(long first, Span<byte> bytes)
    {
        foreach (ref float v in MemoryMarshal.Cast<byte, float>(bytes))
        {
            v *= 2;
        }
    }

    private static void WriteData(string path, float[] values) => File.WriteAllBytes(path, MemoryMarshal.AsBytes(values.AsSpan()).ToArray());

    private static float[] ReadData(string path) => MemoryMarshal.Cast<byte, float>(File.ReadAllBytes(path)).ToArray();
}
