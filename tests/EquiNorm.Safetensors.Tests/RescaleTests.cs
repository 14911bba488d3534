using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

/// <summary>Rescaled files: the function of the network is what it was, by the float64 evaluator of the tests; all other bytes are what they were.</summary>
[TestFixture]
internal sealed class RescaleTests
{
    private static IEnumerable<string> Families => RandomNetworks.Families.Where(f => f is not ("shuffle" or "repeated channels" or "folded channels"));

    [TestCaseSource(nameof(Families))]
    public void The_function_stays_and_the_objective_falls(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 11), Models.Plain);
        using var directory = new TemporaryDirectory();
        string path = new SafetensorsBuilder().Metadata("format", "pt").Add("first", "I64", [1], new byte[8])
            .Add(network, network.Tensors).Add("last", "U8", [3], new byte[] { 1, 2, 3 }).Save(directory["in.safetensors"]);
        using var model = SafetensorsModel.Open(path);
        using var bound = model.Bind(NetworkDescription.Read(Models.Describe(network.Network)));
        var result = RescalingSolver.Solve(new RescalingProblem(bound.Network) { Norm = 2 }, bound.Tensors);
        bound.Save(directory["out.safetensors"], result.Scalings!);
        var after = Models.Load(network, directory["out.safetensors"]);
        Assert.Multiple(() =>
        {
            Assert.That(RoundedFunction.Excess(network.Run(5), after, 5), Is.LessThanOrEqualTo(1), TestSeeds.Repeat);
            Assert.That(result.Objective, Is.LessThanOrEqualTo(result.ObjectiveBefore * (1 + 1e-12)), TestSeeds.Repeat);
            AssertSameButTensors(path, directory["out.safetensors"], network);
            Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
        });
        using var output = SafetensorsModel.Open(directory["out.safetensors"]);
        using var second = output.Bind(NetworkDescription.Read(Models.Describe(network.Network)));
        var report = SafetensorsVerifier.Verify(bound, second);
        Assert.That(report.Reason, Is.Null, TestSeeds.Repeat);
    }

    // The oracle: a weight's elements times exp(u_out - u_in), by plain loops over the layout, rounded once.
    [TestCase("F32")]
    [TestCase("F64")]
    [TestCase("F16")]
    [TestCase("BF16")]
    public void Every_element_is_the_rounded_product(string type)
    {
        using var directory = new TemporaryDirectory();
        var (file, description) = Models.Chain(type);
        using var model = SafetensorsModel.Open(file.Save(directory["in.safetensors"]));
        using var bound = model.Bind(description);
        var random = new Random(TestSeeds.Of(type, 3));
        var u = new double[bound.Network.ChannelCount];
        foreach (var group in bound.Network.Groups.Where(g => !g.IsPinned))
        {
            for (int c = 0; c < group.Count; c++)
            {
                u[group.FirstChannel + c] = random.NextDouble() * 4 - 2;
            }
        }

        bound.Save(directory["out.safetensors"], new Scalings(bound.Network, u));
        var before = SafetensorsBuilder.Read(file.ToArray());
        var after = SafetensorsBuilder.Read(File.ReadAllBytes(directory["out.safetensors"]));
        int first = bound.Network.Groups.Single(g => !g.IsPinned).FirstChannel;
        double roundoff = bound.Network.Weights[0].ElementType.UnitRoundoff() + 1e-15;
        double[] x = SafetensorsBuilder.Decode(type, before["layer1"].Bytes), y = SafetensorsBuilder.Decode(type, after["layer1"].Bytes);
        double[] s = SafetensorsBuilder.Decode(type, before["layer2"].Bytes), t = SafetensorsBuilder.Decode(type, after["layer2"].Bytes);
        for (int n = 0; n < x.Length; n++)
        {
            double expected = x[n] * Math.Exp(u[first + n / 4]);
            Assert.That(Math.Abs(y[n] - expected), Is.LessThanOrEqualTo(Math.Abs(expected) * roundoff), $"layer1 {n}, {TestSeeds.Repeat}");
        }

        for (int n = 0; n < s.Length; n++)
        {
            double expected = s[n] * Math.Exp(-u[first + n % 6]);
            Assert.That(Math.Abs(t[n] - expected), Is.LessThanOrEqualTo(Math.Abs(expected) * roundoff), $"layer2 {n}, {TestSeeds.Repeat}");
        }
    }

    [TestCase("F32", 3e38)]
    [TestCase("F16", 6e4)]
    [TestCase("BF16", 3e38)]
    [TestCase("F64", 1e308)]
    public void An_overflow_is_named_and_writes_nothing(string type, double scale)
    {
        using var directory = new TemporaryDirectory();
        var (file, description) = Models.Chain(type, scale / 2);
        using var model = SafetensorsModel.Open(file.Save(directory["in.safetensors"]));
        using var bound = model.Bind(description);
        var u = bound.Network.Groups.SelectMany(g => Enumerable.Repeat(g.IsPinned ? 0 : 3.0, g.Count)).ToArray();
        Assert.That(
            () => bound.Save(directory["out.safetensors"], new Scalings(bound.Network, u)),
            Throws.TypeOf<NetworkException>().With.Message.Contains("'layer1'"));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(1));
    }

    [Test]
    public void Factors_of_one_copy_the_file([Values(1, 8)] int alignment)
    {
        using var directory = new TemporaryDirectory();
        var builder = new SafetensorsBuilder { Alignment = alignment }.Add("x", "F64", [2], new byte[16]);
        string path = builder.Save(directory["in.safetensors"]);
        using var model = SafetensorsModel.Open(path);
        var empty = NetworkDescription.Read("""{"format":"equinorm-network","version":1,"axes":[],"weights":[]}"""u8.ToArray());
        using var bound = model.Bind(empty);
        bound.Save(directory["out.safetensors"], Scalings.Identity(bound.Network));
        Assert.That(File.ReadAllBytes(directory["out.safetensors"]), Is.EqualTo(File.ReadAllBytes(path)));
        Assert.That(bound.OtherTensors.Select(t => t.Name), Is.EqualTo(new[] { "x" }));
    }

    [Test]
    public void A_file_can_replace_itself_through_every_name_of_it()
    {
        using var directory = new TemporaryDirectory();
        var (file, description) = Models.Chain();
        string path = file.Save(directory["m.safetensors"]);
        File.CreateSymbolicLink(directory["link.safetensors"], path);
        byte[] before = File.ReadAllBytes(path);
        using (var model = SafetensorsModel.Open(path))
        using (var bound = model.Bind(description))
        {
            var scalings = RescalingSolver.Solve(new RescalingProblem(bound.Network), bound.Tensors).Scalings!;
            bound.Save(directory["link.safetensors"], scalings);
            Assert.That(File.ReadAllBytes(path), Is.EqualTo(before), "a link is replaced, not what it leads to");
            Assert.That(File.ReadAllBytes(directory["link.safetensors"]), Is.Not.EqualTo(before));
            bound.Save(path, scalings);
        }

        Assert.That(File.ReadAllBytes(path), Is.EqualTo(File.ReadAllBytes(directory["link.safetensors"])));
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(2));
    }

    [Test]
    public void Outputs_of_the_wrong_kind_are_refused()
    {
        using var directory = new TemporaryDirectory();
        var (file, description) = Models.Chain();
        using var model = SafetensorsModel.Open(file.Save(directory["m.safetensors"]));
        using var bound = model.Bind(description);
        var one = Scalings.Identity(bound.Network);
        Assert.That(() => model.CheckOutput(directory["out.safetensors.index.json"]), Throws.InstanceOf<IOException>().With.Message.Contains("index"));
        Assert.That(() => bound.Save(directory["out.safetensors.index.json"], one), Throws.InstanceOf<IOException>());
        Assert.That(() => bound.Save(directory.Path, one), Throws.InstanceOf<IOException>().With.Message.Contains("directory"));
        Assert.That(() => bound.Save(directory["none/out.safetensors"], one), Throws.InstanceOf<IOException>());
        Assert.That(Directory.GetFiles(directory.Path), Has.Length.EqualTo(1));
    }

    private static void AssertSameButTensors(string a, string b, TestNetwork network)
    {
        byte[] x = File.ReadAllBytes(a), y = File.ReadAllBytes(b);
        int header = (int)BitConverter.ToInt64(x);
        Assert.That(y.AsSpan(0, 8 + header).SequenceEqual(x.AsSpan(0, 8 + header)), "the header");
        Assert.That(y, Has.Length.EqualTo(x.Length));
        var (from, to) = (SafetensorsBuilder.Read(x), SafetensorsBuilder.Read(y));
        foreach (var name in from.Keys.Where(n => network.Network.Find(n) is null))
        {
            Assert.That(to[name].Bytes, Is.EqualTo(from[name].Bytes), name);
        }
    }
}
