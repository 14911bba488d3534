using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

[TestFixture]
internal sealed class VerifyTests
{
    private static IEnumerable<TestCaseData> Changes()
    {
        yield return Case("Nothing", (_, _) => { }, null);
        yield return Case("A_factor", (x, y) => Scale(x, y, 2, 37), null);
        yield return Case("A_negative_factor", (x, y) => Scale(x, y, 2, -1), "negative");
        yield return Case("One_side_of_a_factor", (x, _) => { for (int i = 0; i < 4; i++) { x[i] *= 3; } }, "'layer");
        yield return Case("One_element", (x, _) => x[7] *= 1.0001, "'layer1'");
        yield return Case("Not_a_number", (_, y) => y[3] = double.NaN, "'layer2'");

        static TestCaseData Case(string name, Action<double[], double[]> change, string? named) => new TestCaseData(change, named).SetName($"Verify_{name}");
    }

    [TestCaseSource(nameof(Changes))]
    public void A_rescaling_is_told_from_other_changes(object change, string? named)
    {
        var file = SafetensorsBuilder.Read(Models.Chain().File.ToArray());
        double[] x = SafetensorsBuilder.Decode("F32", file["layer1"].Bytes), y = SafetensorsBuilder.Decode("F32", file["layer2"].Bytes);
        ((Action<double[], double[]>)change)(x, y);
        string? reason = Compare(b => b.Add("layer1", "F32", [6, 4], x).Add("layer2", "F32", [3, 6], y));
        Assert.That(reason, named is null ? Is.Null : Does.Contain(named));
    }

    [Test]
    public void Tensors_outside_the_network_must_be_the_same()
    {
        Assert.That(Compare(b => b.Add("extra", "U8", [2], new byte[] { 1, 2 }), [1, 2]), Is.Null);
        Assert.That(Compare(b => b.Add("extra", "U8", [2], new byte[] { 1, 3 }), [1, 2]), Does.Contain("'extra' differs"));
        Assert.That(Compare(b => b.Add("extra", "I8", [2], new byte[] { 1, 2 }), [1, 2]), Does.Contain("'extra' is U8 [2] in the first model and I8 [2]"));
        Assert.That(Compare(b => b.Add("extra", "U8", [1, 2], new byte[] { 1, 2 }), [1, 2]), Does.Contain("[1, 2] in the second"));
        Assert.That(Compare(b => b, [1, 2]), Does.Contain("'extra' is in the first model only"));
        Assert.That(Compare(b => b.Add("more", "U8", [0], Array.Empty<byte>()).Add("extra", "U8", [2], new byte[] { 1, 2 }), [1, 2]), Does.Contain("'more' is in the second model only"));
    }

    private static string? Compare(Func<SafetensorsBuilder, SafetensorsBuilder> add, byte[] extra) =>
        Compare(Models.Chain().File.Add("extra", "U8", [2], extra), add(Models.Chain().File));

    private static string? Compare(Func<SafetensorsBuilder, SafetensorsBuilder> build) => Compare(Models.Chain().File, build(new SafetensorsBuilder()));

    private static string? Compare(SafetensorsBuilder first, SafetensorsBuilder second)
    {
        using var directory = new TemporaryDirectory();
        using var a = SafetensorsModel.Open(first.Save(directory["a.safetensors"]));
        using var b = SafetensorsModel.Open(second.Save(directory["b.safetensors"]));
        using var x = a.Bind(Models.Chain().Network);
        using var y = b.Bind(Models.Chain().Network);
        return SafetensorsVerifier.Verify(x, y).Reason;
    }

    private static void Scale(double[] x, double[] y, int channel, double factor)
    {
        for (int i = 0; i < 4; i++)
        {
            x[channel * 4 + i] *= factor;
        }

        for (int o = 0; o < 3; o++)
        {
            y[o * 6 + channel] /= factor;
        }
    }
}
