using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

/// <summary>What is read, and what is refused: the message names the file and what is wrong with it.</summary>
[TestFixture]
internal sealed class HeaderTests
{
    [Test]
    public void Tensors_of_every_type_are_read_where_they_lie([Values(1, 8)] int alignment)
    {
        using var directory = new TemporaryDirectory();
        var builder = new SafetensorsBuilder { Alignment = alignment }.Metadata("format", "pt").Metadata("ünïcode \" key", "");
        (string Type, int Bits)[] types =
        [
            ("BOOL", 8), ("U8", 8), ("I8", 8), ("F8_E5M2", 8), ("F8_E4M3", 8), ("F8_E8M0", 8), ("F8_E4M3FNUZ", 8), ("F8_E5M2FNUZ", 8), ("F4", 4), ("F6_E2M3", 6), ("F6_E3M2", 6),
            ("I16", 16), ("U16", 16), ("F16", 16), ("BF16", 16), ("I32", 32), ("U32", 32), ("F32", 32), ("C64", 64), ("F64", 64), ("I64", 64), ("U64", 64),
        ];
        foreach (var (type, bits) in types)
        {
            builder.Add($"a.{type}", type, [2, 4], new byte[bits]).Add($"empty {type}", type, [3, 0, 5], Array.Empty<byte>());
        }

        builder.Add("scalar", "F32", [], new byte[] { 0, 0, 128, 63 });
        using var model = SafetensorsModel.Open(builder.Save(directory["m.safetensors"]));
        Assert.Multiple(() =>
        {
            Assert.That(model.Tensors, Has.Count.EqualTo(2 * types.Length + 1));
            Assert.That(model.Metadata["format"], Is.EqualTo("pt"));
            Assert.That(model.Metadata["ünïcode \" key"], Is.Empty);
            Assert.That(model.Find("a.F8_E5M2")!.Shape, Is.EqualTo(new long[] { 2, 4 }));
            Assert.That(model.Find("a.F4")!.ElementCount, Is.EqualTo(8));
            Assert.That(model.Find("scalar")!.ElementCount, Is.EqualTo(1));
            Assert.That(model.Find("empty I64")!.ElementCount, Is.Zero);
            Assert.That(model.Find("a.BF16")!.ElementType, Is.EqualTo(Model.ElementType.BFloat16));
            Assert.That(model.Find("a.I64")!.ElementType, Is.Null);
            Assert.That(model.Find("nobody"), Is.Null);
        });
    }

    [TestCase("""{}""", 0, "")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}   """, 8, "")]
    [TestCase("""{"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}""", 8, "")]
    [TestCase("", 0, "header")]
    [TestCase(" {}", 0, "does not begin with '{'")]
    [TestCase("[]", 0, "does not begin with '{'")]
    [TestCase("{", 0, "not valid JSON")]
    [TestCase("{} x", 0, "not valid JSON")]
    [TestCase("{}{}", 0, "not valid JSON")]
    [TestCase("{,}", 0, "not valid JSON")]
    [TestCase("{/**/}", 0, "not valid JSON")]
    [TestCase("""{"a":1}""", 0, "'a' is no object")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "'a' is there twice")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"\u0061":{"dtype":"F32","shape":[0],"data_offsets":[8,8]}}""", 8, "'a' is there twice")]
    [TestCase("""{"a":{"dtype":"F32","dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "dtype is there twice")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"scale":2}}""", 8, "unknown property 'scale'")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2]}}""", 8, "needs dtype, shape and data_offsets")]
    [TestCase("""{"a":{"dtype":"F31","shape":[2],"data_offsets":[0,8]}}""", 8, "'F31'")]
    [TestCase("""{"a":{"dtype":7,"shape":[2],"data_offsets":[0,8]}}""", 8, "dtype is no text")]
    [TestCase("""{"a":{"dtype":"F32","shape":2,"data_offsets":[0,8]}}""", 8, "shape is no list")]
    [TestCase("""{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}""", 8, "number 0 of shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}}""", 8, "number 0 of shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}""", 8, "number 0 of shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}}""", 8, "number 0 of shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]}}""", 8, "impossible shape [4294967296, 4294967296]")]
    [TestCase("""{"a":{"dtype":"F32","shape":[9223372036854775807,9223372036854775807,9223372036854775807],"data_offsets":[0,8]}}""", 8, "impossible shape")]
    [TestCase("""{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}""", 8, "needs 12 bytes and has 8")]
    [TestCase("""{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}""", 1, "and a part")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,16]}}""", 8, "more than 2 numbers")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}""", 8, "[begin, end]")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}""", 8, "do not lie within")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 7, "do not lie within the 7 bytes")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 9, "the file goes on to 9")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "begin at 4")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}""", 12, "'b' begin at 4")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "begin at 0")]
    [TestCase("""{"a":{"dtype":"F32","shape":[2],"data_offsets":[9223372036854775800,9223372036854775807]}}""", 8, "do not lie within")]
    [TestCase("""{"__metadata__":{"a":1}}""", 0, "'a' is no text")]
    [TestCase("""{"__metadata__":{"a":"1","a":"2"}}""", 0, "'a' is there twice")]
    [TestCase("""{"__metadata__":"x"}""", 0, "__metadata__ is no object")]
    [TestCase("""{"__metadata__":{},"__metadata__":{}}""", 0, "__metadata__ is there twice")]
    [TestCase("""{"\ud800":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", 8, "not valid Unicode")]
    public void A_header_is_read_or_refused(string header, int data, string expected)
    {
        using var directory = new TemporaryDirectory();
        string path = directory["m.safetensors"];
        File.WriteAllBytes(path, SafetensorsBuilder.Raw(header, new byte[data]));
        if (expected.Length == 0)
        {
            using var model = SafetensorsModel.Open(path);
            Assert.That(model.Length, Is.EqualTo(new FileInfo(path).Length));
            return;
        }

        var error = Assert.Throws<SafetensorsException>(() => SafetensorsModel.Open(path).Dispose())!;
        Assert.That(error.Message, Does.Contain("m.safetensors").And.Contains(expected));
        File.Delete(path); // nothing holds it
    }

    [Test]
    public void A_header_that_is_not_UTF8_is_refused()
    {
        byte[] bytes = SafetensorsBuilder.Raw("""{"a?":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}""", new byte[8]);
        bytes[Array.IndexOf(bytes, (byte)'?')] = 0xFF;
        Refused(bytes, "UTF-8");
    }

    [TestCase(new byte[] { }, "is empty")]
    [TestCase(new byte[] { 1, 0, 0 }, "has 3 bytes")]
    [TestCase(new byte[] { 255, 255, 255, 255, 255, 255, 255, 255 }, "18446744073709551615")]
    [TestCase(new byte[] { 255, 255, 255, 255, 255, 255, 255, 127, 1 }, "9223372036854775807")]
    [TestCase(new byte[] { 3, 0, 0, 0, 0, 0, 0, 0, 123, 125 }, "should have 3 bytes")]
    [TestCase(new byte[] { 0x50, 0x4B, 3, 4, 0, 0, 0, 0, 0, 0 }, "zip")]
    [TestCase(new byte[] { 0x1F, 0x8B, 3, 4, 0, 0, 0, 0, 0, 0 }, "gzip")]
    public void Other_files_are_named_and_a_huge_length_allocates_nothing(byte[] bytes, string expected)
    {
        Refused(bytes, expected); // warm
        long before = GC.GetAllocatedBytesForCurrentThread();
        Refused(bytes, expected);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1 << 20));
    }

    [TestCase("version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "LFS")]
    [TestCase("{\"metadata\":{},\"weight_map\":{}}", "index")]
    public void Text_files_are_named(string text, string expected) => Refused(System.Text.Encoding.UTF8.GetBytes(text), expected);

    [Test]
    public void Sixty_four_dimensions_are_the_limit()
    {
        string Header(int count) => "{\"a\":{\"dtype\":\"U8\",\"shape\":[" + string.Join(",", Enumerable.Repeat(1, count)) + "],\"data_offsets\":[0,1]}}";
        Refused(SafetensorsBuilder.Raw(Header(65), new byte[1]), "more than 64");
        using var directory = new TemporaryDirectory();
        File.WriteAllBytes(directory["m.safetensors"], SafetensorsBuilder.Raw(Header(64), new byte[1]));
        using var model = SafetensorsModel.Open(directory["m.safetensors"]);
        Assert.That(model.Tensors[0].Shape, Has.Count.EqualTo(64));
    }

    [Test]
    public void A_missing_file_and_a_directory_are_named()
    {
        using var directory = new TemporaryDirectory();
        Assert.That(() => SafetensorsModel.Open(directory["none.safetensors"]), Throws.TypeOf<SafetensorsException>().With.Message.Contains("does not exist"));
        Assert.That(() => SafetensorsModel.Open(directory.Path), Throws.TypeOf<SafetensorsException>().With.Message.Contains("directory"));
    }

    private static void Refused(byte[] bytes, string expected)
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllBytes(directory["m.safetensors"], bytes);
        Assert.That(
            () => SafetensorsModel.Open(directory["m.safetensors"]),
            Throws.TypeOf<SafetensorsException>().With.Message.Contains(expected).And.Message.Contains("m.safetensors"));
    }
}
