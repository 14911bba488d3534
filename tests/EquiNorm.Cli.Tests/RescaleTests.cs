using System.Text.Json;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class RescaleTests
{
    private static readonly string[] Keys =
    [
        "status", "norm", "sweeps", "residual", "gapBound", "objectiveBefore", "objectiveAfter", "channels", "groups", "frozenChannels",
        "pinned", "backend", "threads", "seconds",
    ];

    [Test]
    public void Json_is_one_object_with_every_key()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new ResidualModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--json");
        var json = run.Json;
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Error, Is.Empty);
            Assert.That(json.ValueKind, Is.EqualTo(JsonValueKind.Object));
            Assert.That(json.EnumerateObject().Select(p => p.Name), Is.SupersetOf(Keys));
            Assert.That(json.GetProperty("seconds").EnumerateObject().Select(p => p.Name), Is.EqualTo(["read", "solve", "apply", "write"]));
            Assert.That(json.GetProperty("pinned")[0].EnumerateObject().Select(p => p.Name), Is.SupersetOf(["group", "reason"]));
            Assert.That(json.GetProperty("status").GetString(), Is.EqualTo("Converged"));
            Assert.That(json.GetProperty("channels").GetInt32(), Is.EqualTo(8), "the stream and the inside of the block");
            Assert.That(json.GetProperty("groups").GetInt32(), Is.EqualTo(2));
            Assert.That(json.GetProperty("gapBound").GetDouble(), Is.LessThanOrEqualTo(1e-8));
            Assert.That(json.GetProperty("objectiveAfter").GetDouble(), Is.LessThan(json.GetProperty("objectiveBefore").GetDouble()));
            Assert.That(json.GetProperty("pinned").EnumerateArray().Select(p => p.GetProperty("group").GetString()), Is.EquivalentTo(["image", "scores"]));
        });
    }

    [TestCase("rescale missing.onnx -o out.onnx --json", 3)]
    [TestCase("rescale --json --norm x", 2)]
    [TestCase("verify missing.onnx missing.onnx --json", 3)]
    public void Json_is_one_object_when_the_run_fails_too(string line, int code)
    {
        var run = Tool.Run(line.Split(' '));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(code));
            Assert.That(run.Json.GetProperty("exitCode").GetInt32(), Is.EqualTo(code));
            Assert.That(run.Json.GetProperty("error").GetString(), Is.Not.Empty);
        });
    }

    [Test]
    public void The_objective_is_that_of_the_written_file()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new ResidualModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--json");
        var after = Tool.Run("inspect", directory["out.onnx"], "--json").Json;
        Assert.Multiple(() =>
        {
            Assert.That(after.GetProperty("objective").GetDouble(), Is.EqualTo(run.Json.GetProperty("objectiveAfter").GetDouble()).Within(1e-6).Percent);
            Assert.That(after.GetProperty("residual").GetDouble(), Is.LessThan(1e-3));
            Assert.That(after.GetProperty("foldedNormalizations").GetArrayLength(), Is.Zero);
        });
    }

    [TestCase("--batch-norm")]
    [TestCase("--bn")]
    public void Scaled_normalisations_are_reported_and_verified(string option)
    {
        using var directory = new TemporaryDirectory();
        var source = new ResidualModel();
        string model = source.Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], option, "scale", "--json");
        var text = Tool.Run(200, ["rescale", model, option, "scale", "--dry-run"]).Out;
        double before = new[] { source.Conv1, source.Conv2, source.Conv3, source.Dense }.Concat(source.Gamma).Sum(w => w.Sum(v => (double)v * v));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Json.GetProperty("batchNorm").GetString(), Is.EqualTo("scale"));
            Assert.That(run.Json.GetProperty("scaledNormalizations").GetArrayLength(), Is.EqualTo(3));
            Assert.That(run.Json.GetProperty("foldedNormalizations").GetArrayLength(), Is.Zero);
            Assert.That(run.Json.GetProperty("objectiveBefore").GetDouble(), Is.EqualTo(before).Within(1e-12).Percent);
            Assert.That(run.Json.GetProperty("objectiveAfter").GetDouble(), Is.LessThan(before));
            Assert.That(run.Json.GetProperty("layers").EnumerateArray().Select(l => l.GetProperty("name").GetString()), Does.Contain("g1"));
            Assert.That(text, Does.Contain("over all layers and every gamma").And.Contain("gamma and beta of 3 batch normalisations"));
            Assert.That(text, Does.Contain("(12 channels): read by a batch normalisation in training"));
            Assert.That(Tool.Run("verify", model, directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void Largest_magnitudes_are_balanced_verified_and_have_no_gap()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--norm", "inf", "--json");
        var after = Tool.Run("inspect", directory["out.onnx"], "--norm", "inf", "--json").Json;
        var text = Tool.Run(200, ["rescale", model, "--norm", "inf", "--dry-run"]).Out;
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Json.GetProperty("norm").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(run.Json.GetProperty("normName").GetString(), Is.EqualTo("inf"));
            Assert.That(run.Json.GetProperty("tolerance").GetDouble(), Is.EqualTo(1e-4));
            Assert.That(run.Json.GetProperty("gapBound").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(run.Json.GetProperty("residual").GetDouble(), Is.LessThanOrEqualTo(1e-4));
            Assert.That(after.GetProperty("residual").GetDouble(), Is.LessThan(1.1e-4));
            Assert.That(after.GetProperty("objective").GetDouble(), Is.EqualTo(run.Json.GetProperty("objectiveAfter").GetDouble()).Within(1e-4).Percent);
            Assert.That(text, Does.Contain("inf-norm before").And.Contain("the largest |weight|").And.Contain("have no optimum"));
            Assert.That(Tool.Run("inspect", model, "--norm", "inf").Out, Does.Contain("inf-norm").And.Contain("the largest |weight|"));
            Assert.That(Tool.Run("verify", model, directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void A_largest_gain_is_kept_and_the_channels_at_it_are_named()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--max-gain", "1.25", "--json");
        var verify = Tool.Run("verify", model, directory["out.onnx"], "--json").Json;
        var text = Tool.Run(200, ["rescale", model, "--max-gain", "1.25", "--dry-run"]).Out;
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Json.GetProperty("maxGain").GetDouble(), Is.EqualTo(1.25));
            Assert.That(run.Json.GetProperty("limitedChannels").GetInt32(), Is.Positive);
            Assert.That(run.Json.GetProperty("limited").GetArrayLength(), Is.EqualTo(run.Json.GetProperty("limitedChannels").GetInt32()));
            Assert.That(run.Json.GetProperty("gapBound").GetDouble(), Is.LessThanOrEqualTo(1e-8));
            Assert.That(verify.GetProperty("largestFactor").GetDouble(), Is.LessThan(1.25001));
            Assert.That(verify.GetProperty("smallestFactor").GetDouble(), Is.GreaterThan(1 / 1.25001));
            Assert.That(text, Does.Contain("at the limit of 1.25 on factors").And.Contain("within the limit on factors"));
        });
    }

    [TestCase("--max-gain", "1")]
    [TestCase("--max-gain", "inf")]
    [TestCase("--norm", "infinity")]
    [TestCase("--norm", "NaN")]
    public void Values_that_make_no_sense_are_refused(string option, string value) =>
        Assert.That(Tool.Run("rescale", "in.onnx", "--dry-run", option, value).ExitCode, Is.EqualTo(2));

    [Test]
    public void A_dry_run_writes_nothing()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        byte[] before = File.ReadAllBytes(model);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--dry-run", "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Json.GetProperty("output").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
            Assert.That(File.ReadAllBytes(model), Is.EqualTo(before));
            Assert.That(Tool.Run("rescale", model, "--dry-run").ExitCode, Is.Zero, "no output is needed");
        });
    }

    [Test]
    public void With_nothing_free_the_output_is_the_input()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel { Activation = "Sigmoid" }.Save(directory["in.onnx"]);
        var json = Tool.Run("rescale", model, "-o", directory["a.onnx"], "--json");
        var text = Tool.Run("rescale", model, "-o", directory["b.onnx"]);
        Assert.Multiple(() =>
        {
            Assert.That((json.ExitCode, text.ExitCode), Is.EqualTo((0, 0)));
            Assert.That(json.Json.GetProperty("channels").GetInt32(), Is.Zero);
            Assert.That(json.Json.GetProperty("message").GetString(), Does.Contain("Nothing is free"));
            Assert.That(text.Out, Does.Contain("Nothing is free").And.Contain("Sigmoid"));
            Assert.That(File.ReadAllBytes(directory["a.onnx"]), Is.EqualTo(File.ReadAllBytes(model)));
            Assert.That(File.ReadAllBytes(directory["b.onnx"]), Is.EqualTo(File.ReadAllBytes(model)));
        });
    }

    [Test]
    public void The_output_may_be_the_input()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        File.Copy(model, directory["copy.onnx"]);
        var run = Tool.Run("rescale", model, "-o", model);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(File.ReadAllBytes(model), Is.Not.EqualTo(File.ReadAllBytes(directory["copy.onnx"])));
            Assert.That(Tool.Run("verify", directory["copy.onnx"], model).ExitCode, Is.Zero);
            Assert.That(Tool.Left(directory, "in.onnx", "copy.onnx"), Is.Empty);
        });
    }

    [TestCase("--norm", "1")]
    [TestCase("--norm", "3.5")]
    [TestCase("--penalty", "size")]
    [TestCase("--penalty", "depth:1.2")]
    [TestCase("--order", "sequential")]
    [TestCase("--order", "jacobi")]
    [TestCase("--order", "colored")]
    [TestCase("--batch-norm", "keep")]
    [TestCase("--threads", "1")]
    public void Every_option_gives_a_rescaling(string option, string value)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], option, value, "--json");
        var verified = Tool.Run("verify", model, directory["out.onnx"], "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Out + run.Error);
            Assert.That(verified.Json.GetProperty("same").GetBoolean(), Is.True, verified.Out);
            Assert.That(verified.Json.GetProperty("maxDeviation").GetDouble(), Is.LessThan(1e-6));
            Assert.That(verified.Json.GetProperty("rescaledChannels").GetInt32(), Is.Positive);
        });
    }

    [Test]
    public void Exact_factors_leave_no_deviation_at_all()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Rescale(0, 2, 37).Rescale(1, 0, 0.003f).Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--exact", "--json");
        var verified = Tool.Run("verify", model, directory["out.onnx"], "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(verified.Json.GetProperty("maxDeviation").GetDouble(), Is.Zero);
            Assert.That(verified.Json.GetProperty("rescaledChannels").GetInt32(), Is.Positive);
        });
    }

    [Test]
    public void Exact_says_that_folding_rounds()
    {
        using var directory = new TemporaryDirectory();
        string dense = new DenseModel().Save(directory["dense.onnx"]), residual = new ResidualModel().Save(directory["residual.onnx"]);
        Assert.That(Tool.Run("rescale", dense, "--dry-run", "--exact").Out, Does.Contain("power of two").And.Not.Contain("Folding"));
        Assert.That(Tool.Run("rescale", residual, "--dry-run", "--exact").Out, Does.Contain("--batch-norm keep"));
    }

    [Test]
    public void The_number_of_threads_does_not_change_a_bit()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        Tool.Run("rescale", model, "-o", directory["1.onnx"], "--threads", "1");
        Tool.Run("rescale", model, "-o", directory["3.onnx"], "--threads", "3");
        Assert.That(File.ReadAllBytes(directory["3.onnx"]), Is.EqualTo(File.ReadAllBytes(directory["1.onnx"])));
    }

    // Two biases share one tensor and need different factors: one gets a copy. A tiny element is divided below what float32 can hold.
    [Test]
    public void Copies_and_underflows_are_counted()
    {
        using var directory = new TemporaryDirectory();
        var model = new OnnxModelWriter().Input("x", -1, 1).Output("y", -1, 1)
            .Floats("a", [1, 2], [1e10f, 1e10f]).Floats("b", [2, 2], [1e10f, 1e-42f, 1e-42f, 1e10f]).Floats("c", [2, 1], [1e-15f, 1e-15f]).Floats("s", [2], [1, 2])
            .Node("Gemm", ["x", "a", "s"], ["h"]).Node("Relu", ["h"], ["i"]).Node("Gemm", ["i", "b", "s"], ["j"]).Node("Relu", ["j"], ["k"])
            .Node("MatMul", ["k", "c"], ["y"]);
        string path = model.Save(directory["in.onnx"]);
        var json = Tool.Run("rescale", path, "-o", directory["out.onnx"], "--json");
        var text = Tool.Run("rescale", path, "-o", directory["out.onnx"]);
        Assert.Multiple(() =>
        {
            Assert.That(json.ExitCode, Is.Zero, json.Error);
            Assert.That(json.Json.GetProperty("copiedTensors").GetInt32(), Is.EqualTo(1));
            Assert.That(json.Json.GetProperty("underflowed").GetInt64(), Is.EqualTo(2));
            Assert.That(text.Out, Does.Contain("1 tensor that").And.Contain("2 elements became zero"));
            Assert.That(Tool.Run("verify", path, directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void Freezing_keeps_a_weight_and_says_so()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--freeze", "w0", "--json");
        Assert.That(run.Json.GetProperty("pinned").EnumerateArray().Select(p => p.GetProperty("reason").GetString()), Has.Some.Contain("w0"));
        Assert.That(run.Json.GetProperty("channels").GetInt32(), Is.EqualTo(DenseModel.Widths[2]));
    }

    // The residual model pads with zeros: its biases stay. Without padding the inside of the block gives its biases away.
    [Test]
    public void Absorbed_biases_are_named_and_verify_sees_them()
    {
        using var directory = new TemporaryDirectory();
        var source = new ResidualModel();
        Array.Fill(source.Beta[1], 6); // deviations are below 1: each channel inside the block can go
        string padded = source.Save(directory["padded.onnx"]);
        var refused = Tool.Run("rescale", padded, "-o", directory["a.onnx"], "--absorb-bias", "--json");
        string model = InvertedModel(directory);
        var json = Tool.Run("rescale", model, "-o", directory["b.onnx"], "--absorb-bias", "--json");
        var text = Tool.Run(100, ["rescale", model, "-o", directory["b.onnx"], "--absorb-bias"]);
        var absorbed = json.Json.GetProperty("absorbed");
        Assert.Multiple(() =>
        {
            Assert.That((refused.ExitCode, json.ExitCode, text.ExitCode), Is.EqualTo((0, 0, 0)), refused.Error + json.Error + text.Error);
            Assert.That(refused.Json.GetProperty("absorbed").GetProperty("channels").GetInt32(), Is.Zero);
            Assert.That(refused.Json.GetProperty("absorbed").GetProperty("refused")[0].GetProperty("reason").GetString(), Does.Contain("pads with zeros"));
            Assert.That(Tool.Run("verify", padded, directory["a.onnx"]).ExitCode, Is.Zero);
            Assert.That(absorbed.GetProperty("channels").GetInt32(), Is.EqualTo(2));
            Assert.That(absorbed.GetProperty("layers")[0].GetProperty("channels").EnumerateArray().Select(c => c.GetProperty("channel").GetInt32()), Is.EqualTo([0, 2]));
            Assert.That(text.Out, Does.Contain("Absorbed").And.Contain("2 channels").And.Contain("NOT quite the same").And.Not.Contain("unchanged up to rounding"));
            Assert.That(Tool.Run("verify", model, directory["b.onnx"]).ExitCode, Is.EqualTo(1));
            Assert.That(Tool.Run("rescale", model, "--dry-run", "--json").Json.GetProperty("absorbed").ValueKind, Is.EqualTo(JsonValueKind.Null));
        });
    }

    [TestCase("keep")]
    [TestCase("scale")]
    public void Absorbing_needs_folding(string handling)
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", InvertedModel(directory), "-o", directory["out.onnx"], "--absorb-bias", "--batch-norm", handling);
        Assert.That(run.ExitCode, Is.EqualTo(2));
        Assert.That(run.Error, Does.Contain("--batch-norm fold"));
        Assert.That(Tool.Left(directory, "inverted.onnx"), Is.Empty);
    }

    [TestCase(80)]
    [TestCase(120)]
    public void Text_fits_its_width_and_has_no_escape_codes(int width)
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        Array.Clear(model.Weights[0], 4, 4); // channel 1 is dead
        var run = Tool.Run(width, ["rescale", model.Save(directory["in.onnx"]), "-o", directory["out.onnx"]]);
        string[] lines = run.Out.Split('\n');
        Assert.Multiple(() =>
        {
            Assert.That(run.Out, Does.Not.Contain('\x1b'));
            Assert.That(lines.Where(l => l.Length > width && !l.Contains(directory.Path, StringComparison.Ordinal)), Is.Empty);
            Assert.That(run.Out, Does.Contain("w0").And.Contain("w2").And.Contain("certified").And.Contain("1 dead channel").And.Contain("equinorm verify"));
            Assert.That(run.Error, Is.Empty);
        });
    }

    [Test]
    public void A_terminal_gets_the_same_words_in_colour()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        using var output = new StringWriter();
        int code = CommandLine.Run(["rescale", model, "--dry-run"], new Streams(output, TextWriter.Null) { Colors = true, Width = 100 });
        Assert.That(code, Is.Zero);
        Assert.That(output.ToString(), Does.Contain('\x1b').And.Contain("w0").And.Contain("certified"));
    }

    [Test]
    public void Long_tables_are_cut()
    {
        using var directory = new TemporaryDirectory();
        var model = new OnnxModelWriter().Input("v0", -1, 2).Output("v40", -1, 2);
        for (int n = 0; n < 40; n++)
        {
            model.Floats($"w{n}", [2, 2], DenseModel.Values(n, 4)).Node("MatMul", [$"v{n}", $"w{n}"], [$"v{n + 1}"]);
        }

        var run = Tool.Run("rescale", model.Save(directory["in.onnx"]), "--dry-run");
        Assert.That(run.Out, Does.Contain("w24").And.Contain("… 15 more layers"));
        Assert.That(run.Out, Does.Not.Contain("w25 "));
    }

    // conv - bn - relu - conv without padding: channels 0 and 2 lie three deviations above zero.
    private static string InvertedModel(TemporaryDirectory directory) => new OnnxModelWriter().Input("x", 1, 2, 4, 4).Output("y", 1, 2, 4, 4)
        .Floats("w", [3, 2, 1, 1], DenseModel.Values(1, 6)).Floats("v", [2, 3, 1, 1], DenseModel.Values(2, 6)).Floats("b", [2], [1, 2])
        .Floats("gamma", [3], [1, 1, -0.5f]).Floats("beta", [3], [5, 2, 4]).Floats("mean", [3], [0, 0, 0]).Floats("variance", [3], [1, 1, 1])
        .Node("Conv", ["x", "w"], ["c"]).Node("BatchNormalization", ["c", "gamma", "beta", "mean", "variance"], ["n"]).Node("Relu", ["n"], ["r"])
        .Node("Conv", ["r", "v", "b"], ["y"]).Save(directory["inverted.onnx"]);
}
