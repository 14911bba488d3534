using System.Text.Json;
using EquiNorm.Description;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

/// <summary>Models of several files: every shard and the index, or none.</summary>
[TestFixture]
internal sealed class ShardTests
{
    private const string Index = "model.safetensors.index.json";
    private static readonly string[] Shards = ["model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors", "model-00003-of-00003.safetensors"];

    [Test]
    public void Shards_give_the_same_tensors_as_one_file()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("residual", TestSeeds.Of("shards", 1), Models.Plain);
        var description = NetworkDescription.Read(Models.Describe(network.Network));
        string index = Save(network, directory, "in");
        string single = new SafetensorsBuilder().Add("other0", "U8", [1], new byte[] { 0 }).Add("other2", "U8", [1], new byte[] { 2 })
            .Add("other1", "U8", [1], new byte[] { 1 }).Add(network, network.Tensors).Save(directory["single.safetensors"]);
        using var a = SafetensorsModel.Open(index);
        using var b = SafetensorsModel.Open(single);
        using var x = a.Bind(description);
        using var y = b.Bind(description);
        Directory.CreateDirectory(directory["out"]);
        x.Save(Path.Combine(directory["out"], "renamed.index.json"), Solve(x));
        y.Save(directory["out.safetensors"], Solve(y));
        var whole = SafetensorsBuilder.Read(File.ReadAllBytes(directory["out.safetensors"]));
        var parts = Shards.SelectMany(s => SafetensorsBuilder.Read(File.ReadAllBytes(Path.Combine(directory["out"], s)))).ToDictionary();
        Assert.Multiple(() =>
        {
            Assert.That(parts.Keys, Is.EquivalentTo(whole.Keys));
            Assert.That(whole.All(t => t.Value.Bytes.AsSpan().SequenceEqual(parts[t.Key].Bytes)), TestSeeds.Repeat);
            Assert.That(File.ReadAllBytes(Path.Combine(directory["out"], "renamed.index.json")), Is.EqualTo(File.ReadAllBytes(index)));
            Assert.That(Directory.GetFiles(directory["out"]), Has.Length.EqualTo(4), "no temporary file, no lock");
        });
        using var c = SafetensorsModel.Open(Path.Combine(directory["out"], "renamed.index.json"));
        using var z = c.Bind(description);
        Assert.That(SafetensorsVerifier.Verify(y, z).Reason, Is.Null, "sharding does not matter to verify");
    }

    [Test]
    public void A_sharded_model_can_replace_itself()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("dense chain", 7, Models.Plain);
        var description = NetworkDescription.Read(Models.Describe(network.Network));
        string index = Save(network, directory, "in");
        using (var model = SafetensorsModel.Open(index))
        using (var bound = model.Bind(description))
        {
            bound.Save(index, Solve(bound));
        }

        var after = Models.Load(network, Shards.Select(s => Path.Combine(directory["in"], s)));
        double[] expected = network.Run(5), found = after.Run(5);
        Assert.That(expected.Zip(found, (x, y) => Math.Abs(x - y)).Max() / expected.Max(Math.Abs), Is.LessThan(1e-4));
        Assert.That(after.Tensors.Zip(network.Tensors).Any(t => !t.First.ToArray().SequenceEqual(t.Second.ToArray())));
        Assert.That(Directory.GetFiles(directory["in"]), Has.Length.EqualTo(4));
    }

    [Test]
    public void Outputs_that_would_replace_a_shard_of_the_source_are_refused()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("dense chain", 7, Models.Plain);
        string index = Save(network, directory, "in");
        using var model = SafetensorsModel.Open(index);
        using var bound = model.Bind(NetworkDescription.Read(Models.Describe(network.Network)));
        string beside = Path.Combine(directory["in"], "other.index.json");
        Assert.That(() => bound.Save(beside, Solve(bound)), Throws.InstanceOf<IOException>().With.Message.Contains(Shards[0]));
        Assert.That(() => model.CheckOutput(beside), Throws.InstanceOf<IOException>());
        Assert.That(() => model.CheckOutput(directory["out.safetensors"]), Throws.InstanceOf<IOException>().With.Message.Contains("index"));
        Assert.That(Directory.GetFiles(directory["in"]), Has.Length.EqualTo(4));
    }

    [Test]
    public void If_one_file_cannot_be_put_in_place_the_others_are_what_they_were()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("dense chain", 7, Models.Plain);
        string index = Save(network, directory, "in");
        Directory.CreateDirectory(directory["out"]);
        File.WriteAllText(Path.Combine(directory["out"], Shards[0]), "old");
        Directory.CreateDirectory(Path.Combine(directory["out"], Shards[1], "full"));
        using var model = SafetensorsModel.Open(index);
        using var bound = model.Bind(NetworkDescription.Read(Models.Describe(network.Network)));
        Assert.That(() => bound.Save(Path.Combine(directory["out"], Index), Solve(bound)), Throws.InstanceOf<SystemException>());
        Assert.That(File.ReadAllText(Path.Combine(directory["out"], Shards[0])), Is.EqualTo("old"));
        Assert.That(Directory.GetFiles(directory["out"]), Has.Length.EqualTo(1));
    }

    [Test]
    public void A_shard_that_another_program_replaces_meanwhile_is_noticed()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("dense chain", 7, Models.Plain);
        string index = Save(network, directory, "in");
        Directory.CreateDirectory(directory["out"]);
        using var model = SafetensorsModel.Open(index);
        using var bound = model.Bind(NetworkDescription.Read(Models.Describe(network.Network)));
        string shard = Path.Combine(directory["in"], Shards[1]);
        File.WriteAllBytes(shard + ".new", File.ReadAllBytes(shard));
        File.SetLastWriteTimeUtc(shard + ".new", DateTime.UtcNow.AddSeconds(5));
        File.Move(shard + ".new", shard, overwrite: true);
        Assert.That(() => bound.Save(Path.Combine(directory["out"], Index), Solve(bound)), Throws.InstanceOf<IOException>().With.Message.Contains("changed").And.Message.Contains(Shards[1]));
        Assert.That(Directory.GetFiles(directory["out"]), Is.Empty);
    }

    [TestCase("[]", "no object with weight_map")]
    [TestCase("{}", "no weight_map")]
    [TestCase("""{"weight_map":{"a":"../x.safetensors"}}""", "'../x.safetensors'")]
    [TestCase("""{"weight_map":{"a":"/x.safetensors"}}""", "'/x.safetensors'")]
    [TestCase("""{"weight_map":{"a":".."}}""", "'..'")]
    [TestCase("""{"weight_map":{"a":""}}""", "''")]
    [TestCase("""{"weight_map":{"a":"c:x"}}""", "'c:x'")]
    [TestCase("""{"weight_map":{"a":"nobody.safetensors"}}""", "nobody.safetensors: does not exist")]
    [TestCase("""{"weight_map":{"a":"x.safetensors","b":"x.safetensors"}}""", "'b' is in 'x.safetensors', and it is not there")]
    [TestCase("""{"weight_map":{"a":"y.safetensors","c":"y.safetensors","b":"x.safetensors"}}""", "'a' is in")]
    [TestCase("""{"weight_map":{"c":"y.safetensors"}}""", "tensor 'a' is not in the index")]
    [TestCase("""{"weight_map":{"a":"x.safetensors","a":"x.safetensors"}}""", "'a' is there twice")]
    [TestCase("""{"weight_map":{"a":7}}""", "'a' is no text")]
    [TestCase("""{"weight_map":{},"weight_map":{}}""", "'weight_map', or has it twice")]
    [TestCase("""{"weight_map":{},"other":{}}""", "'other'")]
    [TestCase("""{"weight_map":{}} x""", "not valid JSON")]
    [TestCase("""{"metadata":{"total_size":8,"more":[{"deep":[1]}]},"weight_map":{"a":"x.safetensors"}}""", "")]
    public void An_index_is_read_or_refused(string text, string expected)
    {
        using var directory = new TemporaryDirectory();
        new SafetensorsBuilder().Add("a", "F32", [1], new[] { 1.0 }).Save(directory["x.safetensors"]);
        new SafetensorsBuilder().Add("a", "F32", [1], new[] { 1.0 }).Add("c", "F32", [1], new[] { 1.0 }).Save(directory["y.safetensors"]);
        File.WriteAllText(directory[Index], text);
        if (expected.Length == 0)
        {
            using var model = SafetensorsModel.Open(directory[Index]);
            Assert.That(model.Tensors.Select(t => t.Name), Is.EqualTo(new[] { "a" }));
            return;
        }

        Assert.That(() => SafetensorsModel.Open(directory[Index]), Throws.TypeOf<SafetensorsException>().With.Message.Contains(expected));
    }

    // As the cache of model hubs lies: the names are links to files elsewhere.
    [Test]
    public void Links_to_shards_are_followed_and_never_written_through()
    {
        using var directory = new TemporaryDirectory();
        var network = RandomNetworks.Create("dense chain", 7, Models.Plain);
        var description = NetworkDescription.Read(Models.Describe(network.Network));
        Save(network, directory, "blobs");
        Directory.CreateDirectory(directory["snapshot"]);
        foreach (string name in Shards.Append(Index))
        {
            File.CreateSymbolicLink(Path.Combine(directory["snapshot"], name), Path.Combine(directory["blobs"], name));
        }

        var before = Shards.Select(s => File.ReadAllBytes(Path.Combine(directory["blobs"], s))).ToArray();
        using (var model = SafetensorsModel.Open(Path.Combine(directory["snapshot"], Index)))
        using (var bound = model.Bind(description))
        {
            bound.Save(Path.Combine(directory["snapshot"], Index), Solve(bound));
        }

        Assert.That(Shards.Select(s => File.ReadAllBytes(Path.Combine(directory["blobs"], s))), Is.EqualTo(before));
        Assert.That(Shards.Select(s => File.ReadAllBytes(Path.Combine(directory["snapshot"], s))), Is.Not.EqualTo(before));
    }

    private static Scalings Solve(SafetensorsNetwork bound) =>
        RescalingSolver.Solve(new RescalingProblem(bound.Network), bound.Tensors).Scalings!;

    private static string Save(TestNetwork network, TemporaryDirectory directory, string folder)
    {
        Directory.CreateDirectory(directory[folder]);
        var map = new Dictionary<string, string>();
        for (int s = 0; s < Shards.Length; s++)
        {
            var mine = network.Tensors.Where((_, n) => n % Shards.Length == s).ToList();
            new SafetensorsBuilder().Add(network, mine).Add($"other{s}", "U8", [1], new[] { (byte)s }).Save(Path.Combine(directory[folder], Shards[s]));
            mine.ForEach(t => map.Add(t.Name, Shards[s]));
            map.Add($"other{s}", Shards[s]);
        }

        string path = Path.Combine(directory[folder], Index);
        File.WriteAllText(path, JsonSerializer.Serialize(new { metadata = new { total_size = 123 }, weight_map = map }));
        return path;
    }
}
