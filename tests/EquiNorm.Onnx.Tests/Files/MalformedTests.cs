using System.Text;
using EquiNorm.Onnx.Files;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests.Files;

/// <summary>Whatever the bytes are: a model or an <see cref="OnnxFormatException"/>, at once and without large allocations.</summary>
[TestFixture]
internal sealed class MalformedTests
{
    private const int Mutations = 3000;

    [Test]
    public void Every_truncation_is_read_or_refused()
    {
        byte[] source = SampleModels.Rich(0).ToArray();
        using var directory = new TemporaryDirectory();
        for (int length = 0; length < source.Length; length++)
        {
            ReadOrRefuse(directory["m.onnx"], source[..length]);
        }
    }

    [Test]
    public void Every_mutation_is_read_or_refused([Values(0, 2)] int padding)
    {
        byte[] source = SampleModels.Rich(padding).ToArray();
        using var directory = new TemporaryDirectory();
        var random = new Random(20260101 + padding);
        for (int i = 0; i < Mutations; i++)
        {
            byte[] mutated = [.. source];
            for (int n = random.Next(1, 4); n > 0; n--)
            {
                mutated[random.Next(mutated.Length)] = (byte)random.Next(256);
            }

            ReadOrRefuse(directory["m.onnx"], mutated);
        }
    }

    [TestCase(new byte[] { 0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0x07 })]
    [TestCase(new byte[] { 0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F })]
    [TestCase(new byte[] { 0x3A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01 })]
    public void A_huge_length_is_refused_without_allocating(byte[] bytes)
    {
        using var directory = new TemporaryDirectory();
        ReadOrRefuse(directory["warm.onnx"], bytes);
        File.WriteAllBytes(directory["m.onnx"], bytes);
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.That(() => LayoutReader.Open(directory["m.onnx"]), Throws.TypeOf<OnnxFormatException>());
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
    }

    [Test]
    public void Huge_dims_are_refused_without_allocating()
    {
        foreach (long[] dims in new long[][] { [1L << 40], [1L << 32, 1L << 32], [long.MaxValue], [-1], [long.MaxValue, 0, -5], [1L << 31, 2] })
        {
            var model = new OnnxModelWriter();
            model.Child(5, model.Header("w", 1, dims).Bytes(9, new byte[8]));
            long before = GC.GetAllocatedBytesForCurrentThread();
            var error = Refused(model.ToArray());
            Assert.That(error.Message, Does.Contain("'w'").And.Contains("m.onnx"));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
        }
    }

    [Test]
    public void A_wrong_element_count_names_tensor_expected_and_found()
    {
        var model = new OnnxModelWriter();
        model.Child(5, model.Header("conv.weight", 1, 2, 3).Bytes(9, new byte[20]));
        Assert.That(Refused(model.ToArray()).Message, Does.Contain("'conv.weight'").And.Contains("24").And.Contains("20").And.Contains("[2, 3]"));
    }

    [Test]
    public void Data_given_twice_is_refused()
    {
        var model = new OnnxModelWriter();
        model.Child(5, model.Header("w", 1, 1).Bytes(9, new byte[4]).Float(4, 1));
        Assert.That(Refused(model.ToArray()).Message, Does.Contain("twice"));
    }

    [Test]
    public void Deep_nesting_is_refused()
    {
        var graph = new OnnxModelWriter();
        for (int i = 0; i < 200; i++)
        {
            graph = new OnnxModelWriter().Node("If", ["c"], ["y"], ("then_branch", graph));
        }

        Assert.That(Refused(graph.ToArray()).Message, Does.Contain("nested"));
        byte[] groups = [.. Enumerable.Repeat(new byte[] { 0xA3, 0x1F }, 100_000).SelectMany(b => b)];
        Assert.That(Refused(groups).Message, Does.Contain("nested"));
    }

    [Test]
    public void Names_that_are_not_UTF8_are_refused()
    {
        var model = new OnnxModelWriter();
        model.Child(1, model.NewMessage().Bytes(1, [0xFF, 0xFE]).Text(4, "Relu"));
        Refused(model.ToArray());
    }

    [TestCase("", "empty")]
    [TestCase("{ \"format\": \"not onnx\" }\n", "text")]
    [TestCase("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "LFS")]
    [TestCase("\u001f\u008b\u0008", "gzip")]
    [TestCase("PK\u0003\u0004", "zip")]
    public void Files_of_another_kind_are_named(string content, string expected) =>
        Assert.That(Refused(Encoding.Latin1.GetBytes(content)).Message, Does.Contain(expected));

    [Test]
    public void A_directory_and_a_missing_file_are_named()
    {
        using var directory = new TemporaryDirectory();
        Assert.That(() => LayoutReader.Open(directory.Path), Throws.TypeOf<OnnxFormatException>().With.Message.Contains("directory"));
        Assert.That(() => LayoutReader.Open(directory["none.onnx"]), Throws.TypeOf<OnnxFormatException>().With.Message.Contains("does not exist"));
    }

    private static OnnxFormatException Refused(byte[] bytes)
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllBytes(directory["m.onnx"], bytes);
        return Assert.Throws<OnnxFormatException>(() => LayoutReader.Open(directory["m.onnx"]))!;
    }

    private static void ReadOrRefuse(string path, byte[] bytes)
    {
        File.WriteAllBytes(path, bytes);
        try
        {
            var layout = LayoutReader.Open(path);
            foreach (var tensor in layout.Initializers.Where(t => t.HasBytes && t.DataType.ElementType() is not null))
            {
                tensor.Reals();
            }

            layout.File.Dispose();
            layout.External.Dispose();
        }
        catch (OnnxFormatException e)
        {
            Assert.That(e.Message, Does.Contain("m.onnx"));
        }
    }
}
