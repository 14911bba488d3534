using System.Text.Json;
using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

/// <summary>The commands on safetensors files: described by what `describe` writes for the ONNX export of the same model.</summary>
[TestFixture]
internal sealed class SafetensorsTests
{
    [Test]
    public void An_export_describes_the_file_and_both_get_the_same_factors()
    {
        using var directory = new TemporaryDirectory();
        var (input, network) = Save(new DenseModel().Rescale(0, 2, 37).Rescale(1, 0, 0.03f), directory);
        var onnx = Tool.Run("rescale", directory["in.onnx"], "-o", directory["out.onnx"], "--json");
        var run = Tool.Run("rescale", input, "--network", network, "-o", directory["out.safetensors"], "--json");
        var before = SafetensorsBuilder.Read(File.ReadAllBytes(input));
        var after = SafetensorsBuilder.Read(File.ReadAllBytes(directory["out.safetensors"]));
        byte[] model = File.ReadAllBytes(directory["out.onnx"]);
        Assert.Multiple(() =>
        {
            Assert.That((onnx.ExitCode, run.ExitCode), Is.EqualTo((0, 0)), run.Error);
            Assert.That(run.Error, Is.Empty);
            Assert.That(run.Json.GetProperty("status").GetString(), Is.EqualTo("Converged"));
            Assert.That(run.Json.GetProperty("network").GetString(), Is.EqualTo(network));
            Assert.That(run.Json.GetProperty("batchNorm").GetString(), Is.EqualTo("described"));
            Assert.That(run.Json.GetProperty("objectiveAfter").GetDouble(), Is.EqualTo(onnx.Json.GetProperty("objectiveAfter").GetDouble()).Within(1e-6).Percent);
            Assert.That(run.Json.GetProperty("notes").EnumerateArray().Select(n => n.GetString()), Has.Some.Contains("'step'"), "what is not in the network is said");
            foreach (string name in before.Keys)
            {
                // The very bytes that the ONNX path wrote: raw data of an initializer.
                bool same = before[name].Bytes.AsSpan().SequenceEqual(after[name].Bytes);
                Assert.That(same, Is.EqualTo(name is "step" or "b2"), name);
                Assert.That(name == "step" || model.AsSpan().IndexOf(after[name].Bytes) >= 0, name);
            }

            Assert.That(Tool.Left(directory, "in.onnx", "out.onnx", "net.json", "in.safetensors", "out.safetensors"), Is.Empty);
        });
    }

    [Test]
    public void The_report_says_how_to_verify_and_that_works()
    {
        using var directory = new TemporaryDirectory();
        var (input, network) = Save(new DenseModel().Rescale(0, 2, 37), directory);
        var run = Tool.Run("rescale", input, "--network", network, "-o", directory["out.safetensors"]);
        string line = run.Out.Split('\n').Single(l => l.Contains("equinorm verify", StringComparison.Ordinal));
        string[] command = line[(line.IndexOf("equinorm verify", StringComparison.Ordinal) + "equinorm ".Length)..].Split(' ');
        var verified = Tool.Run([.. command, "--json"]);
        var other = Tool.Run("verify", input, Save(new DenseModel().Rescale(0, 2, -1), directory, "other").Input, "--network", network);
        Assert.Multiple(() =>
        {
            Assert.That(verified.ExitCode, Is.Zero, verified.Out + verified.Error);
            Assert.That(verified.Json.GetProperty("rescaledChannels").GetInt32(), Is.Positive);
            Assert.That(other.ExitCode, Is.EqualTo(1), other.Out + other.Error);
        });
    }

    [Test]
    public void Inspect_shows_groups_and_norms()
    {
        using var directory = new TemporaryDirectory();
        var (input, network) = Save(new DenseModel(), directory);
        var run = Tool.Run("inspect", input, "--network", network, "--json");
        var onnx = Tool.Run("inspect", directory["in.onnx"], "--json");
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        Assert.That(run.Json.GetProperty("objective").GetDouble(), Is.EqualTo(onnx.Json.GetProperty("objective").GetDouble()));
        Assert.That(run.Json.GetProperty("channels").GetInt32(), Is.EqualTo(onnx.Json.GetProperty("channels").GetInt32()));
        Assert.That(Tool.Run("compare", input, "--network", network, "--json").ExitCode, Is.Zero);
        Assert.That(Tool.Run("inspect", input, "--network", network).Out, Does.Contain("w1").And.Contain("'step'"));
    }

    [Test]
    public void Shards_and_names()
    {
        using var directory = new TemporaryDirectory();
        var (input, network) = Save(new DenseModel().Rescale(0, 2, 37), directory);
        var all = SafetensorsBuilder.Read(File.ReadAllBytes(input)).ToList();
        Directory.CreateDirectory(directory["sharded"]);
        Directory.CreateDirectory(directory["out"]);
        var map = new Dictionary<string, string>();
        foreach (var (shard, tensors) in all.Select((t, n) => (t, n % 2)).GroupBy(t => t.Item2, t => t.t).Select(g => ($"part{g.Key}.safetensors", g.ToList())))
        {
            var builder = new SafetensorsBuilder();
            tensors.ForEach(t => builder.Add("model." + t.Key, t.Value.Type, t.Value.Shape, t.Value.Bytes));
            tensors.ForEach(t => map.Add("model." + t.Key, shard));
            builder.Save(Path.Combine(directory["sharded"], shard));
        }

        string index = Path.Combine(directory["sharded"], "model.safetensors.index.json"), output = Path.Combine(directory["out"], "model.safetensors.index.json");
        File.WriteAllText(index, JsonSerializer.Serialize(new { weight_map = map }));
        File.WriteAllText(directory["names.json"], JsonSerializer.Serialize(all.Where(t => t.Key != "step").ToDictionary(t => t.Key, t => "model." + t.Key)));
        var lost = Tool.Run("rescale", index, "--network", network, "-o", output);
        var run = Tool.Run("rescale", index, "--network", network, "--names", directory["names.json"], "-o", output);
        var verified = Tool.Run("verify", index, output, "--network", network, "--names", directory["names.json"]);
        var again = Tool.Run("rescale", index, "--network", network, "--names", directory["names.json"], "-o", Path.Combine(directory["sharded"], "b.index.json"));
        Assert.Multiple(() =>
        {
            Assert.That(lost.ExitCode, Is.EqualTo(3));
            Assert.That(lost.Error, Does.Contain("'w0'").And.Contain("'model.w0'"));
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Out, Does.Contain("--names"));
            Assert.That(verified.ExitCode, Is.Zero, verified.Out + verified.Error);
            Assert.That(again.ExitCode, Is.EqualTo(2), "the shards of the input must stay");
            Assert.That(Directory.GetFiles(directory["out"]), Has.Length.EqualTo(3));
        });
    }

    [TestCase("rescale IN -o OUT", 2, "--network")]
    [TestCase("inspect IN", 2, "--network")]
    [TestCase("verify IN IN", 2, "--network")]
    [TestCase("inspect ONNX --network NET", 2, "ONNX model")]
    [TestCase("inspect ONNX --names NET", 2, "--names needs --network")]
    [TestCase("rescale IN --network NET -o OUT --batch-norm fold", 2, "--batch-norm")]
    [TestCase("rescale IN --network NET -o OUT --shared-weights copy", 2, "--shared-weights")]
    [TestCase("rescale IN --network NET -o OUT --absorb-bias", 2, "--absorb-bias")]
    [TestCase("compare IN --network NET --bn fold", 2, "--batch-norm")]
    [TestCase("compare IN", 2, "--network")]
    [TestCase("rescale IN --network NET -o OUT.json", 2, "index")]
    [TestCase("rescale IN --network MISSING -o OUT", 3, "missing.json")]
    [TestCase("rescale IN --network IN -o OUT", 3, "in.safetensors")]
    [TestCase("rescale NET --network NET -o OUT.json", 3, "net.json")]
    [TestCase("rescale MISSING --network NET -o OUT", 3, "missing.json")]
    [TestCase("rescale IN --network NET --names MISSING -o OUT", 3, "missing.json")]
    public void What_cannot_be_meant_is_said_and_writes_nothing(string line, int code, string expected)
    {
        using var directory = new TemporaryDirectory();
        Save(new DenseModel(), directory);
        string[] args = [.. line.Split(' ').Select(word => word switch
        {
            "IN" => directory["in.safetensors"],
            "ONNX" => directory["in.onnx"],
            "NET" => directory["net.json"],
            "OUT" => directory["out.safetensors"],
            "OUT.json" => directory["out.json"],
            "MISSING" => directory["missing.json"],
            _ => word,
        })];
        var run = Tool.Run(args);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(code), run.Out + run.Error);
            Assert.That(run.Error, Does.StartWith("equinorm: ").And.Contains(expected));
            Assert.That(run.Out, Is.Empty);
            Assert.That(Tool.Left(directory, "in.onnx", "net.json", "in.safetensors"), Is.Empty);
        });
    }

    [TestCase(float.NaN)]
    [TestCase(float.PositiveInfinity)]
    public void A_number_that_is_not_finite_is_5(float value)
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        model.Weights[1][3] = value;
        var (input, network) = Save(model, directory);
        var run = Tool.Run("rescale", input, "--network", network, "-o", directory["out.safetensors"]);
        Assert.That((run.ExitCode, run.Error), Is.EqualTo((5, run.Error)));
        Assert.That(run.Error, Does.Contain("'w1'").And.Contain("in.safetensors"));
        Assert.That(File.Exists(directory["out.safetensors"]), Is.False);
    }

    // float16: the layers are balanced by factors that the storage type cannot follow.
    [Test]
    public void An_overflow_of_the_storage_type_is_5_and_writes_nothing()
    {
        using var directory = new TemporaryDirectory();
        string text = """
            { "format": "equinorm-network", "version": 1,
              "axes": [ { "name": "x", "channels": 1, "pinned": "input" }, { "name": "h", "channels": 1 }, { "name": "y", "channels": 4, "pinned": "output" } ],
              "weights": [ { "name": "a", "type": "float16", "shape": [1, 1], "output": "h", "input": "x" },
                { "name": "b", "type": "float16", "kind": "bias", "shape": [1], "output": "h" },
                { "name": "c", "type": "float16", "shape": [4, 1], "output": "y", "input": "h" } ] }
            """;
        File.WriteAllText(directory["net.json"], text);
        new SafetensorsBuilder().Add("a", "F16", [1, 1], new[] { 0.01 }).Add("b", "F16", [1], new[] { 60000.0 }).Add("c", "F16", [4, 1], new[] { 1.0, 1.0, 1.0, 1.0 }).Save(directory["in.safetensors"]);
        var run = Tool.Run("rescale", directory["in.safetensors"], "--network", directory["net.json"], "-o", directory["out.safetensors"]);
        Assert.That(run.ExitCode, Is.EqualTo(5), run.Out + run.Error);
        Assert.That(run.Error, Does.Contain("'b'"));
        Assert.That(Tool.Left(directory, "net.json", "in.safetensors"), Is.Empty);
    }

    private static (string Input, string Network) Save(DenseModel model, TemporaryDirectory directory, string name = "in")
    {
        model.Save(directory[name + ".onnx"]);
        if (!File.Exists(directory["net.json"]))
        {
            Assert.That(Tool.Run("describe", directory[name + ".onnx"], "-o", directory["net.json"]).ExitCode, Is.Zero);
        }

        var builder = new SafetensorsBuilder().Metadata("format", "pt").Add("step", "F32", [], new byte[] { 1, 2, 3, 4 });
        for (int n = 2; n >= 0; n--)
        {
            builder.Add($"b{n}", "F32", [DenseModel.Widths[n + 1]], Array.ConvertAll(model.Biases[n], v => (double)v));
            builder.Add($"w{n}", "F32", [DenseModel.Widths[n + 1], DenseModel.Widths[n]], Array.ConvertAll(model.Weights[n], v => (double)v));
        }

        return (builder.Save(directory[name + ".safetensors"]), directory["net.json"]);
    }
}
