using System.Text.Json;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class CompareTests
{
    [Test]
    public void Json_has_an_object_for_each_norm()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        byte[] before = File.ReadAllBytes(model);
        var run = Tool.Run("compare", model, "--norms", "1,2,3.5", "--json");
        var norms = run.Json.GetProperty("norms").EnumerateArray().ToList();
        Assert.Multiple(() =>
        {
            Assert.That((run.ExitCode, run.Error), Is.EqualTo((0, "")));
            Assert.That(run.Json.EnumerateObject().Select(p => p.Name), Is.EqualTo(
                ["status", "input", "maxGain", "penalty", "exact", "batchNorm", "channels", "foldedNormalizations", "before", "norms"]));
            Assert.That(run.Json.GetProperty("status").GetString(), Is.EqualTo("Converged"));
            Assert.That(run.Json.GetProperty("channels").GetInt32(), Is.EqualTo(8));
            Assert.That(norms.Select(n => n.GetProperty("normName").GetString()), Is.EqualTo(["1", "2", "3.5"]));
            Assert.That(norms.Select(n => n.GetProperty("status").GetString()), Is.All.EqualTo("Converged"));
            Assert.That(norms.Select(n => n.GetProperty("gapBound").GetDouble()), Is.All.LessThanOrEqualTo(1e-8));
            Assert.That(norms.Select(n => n.GetProperty("largestGain").GetDouble()), Is.All.GreaterThan(1));
            Assert.That(norms.Select(n => n.GetProperty("seconds").GetDouble()), Is.All.Positive);
            Assert.That(File.ReadAllBytes(model), Is.EqualTo(before));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty, "nothing is written");
        });
    }

    // Nothing is certified at p = infinity: the residual is the tolerance.
    [Test]
    public void Largest_magnitudes_are_among_the_norms()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var json = Tool.Run("compare", model, "--json");
        var norms = json.Json.GetProperty("norms").EnumerateArray().ToList();
        var limited = Tool.Run("compare", model, "--max-gain", "1.1", "--norms", "2,inf", "--json").Json.GetProperty("norms");
        Assert.Multiple(() =>
        {
            Assert.That(json.ExitCode, Is.Zero, json.Error);
            Assert.That(norms.Select(n => n.GetProperty("normName").GetString()), Is.EqualTo(["1", "2", "inf"]));
            Assert.That(norms[2].GetProperty("norm").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(norms[2].GetProperty("gapBound").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(norms[2].GetProperty("residual").GetDouble(), Is.LessThanOrEqualTo(1e-4));
            Assert.That(norms[2].GetProperty("tolerance").GetDouble(), Is.EqualTo(1e-4));
            Assert.That(norms[2].GetProperty("int8").GetProperty("perTensor").GetProperty("decibels").GetDouble(), Is.Positive);
            Assert.That(limited.EnumerateArray().Select(n => n.GetProperty("largestGain").GetDouble()), Is.All.LessThanOrEqualTo(1.1 * (1 + 1e-12)));
            Assert.That(limited[0].GetProperty("limitedChannels").GetInt32(), Is.Positive);
            Assert.That(Tool.Run("compare", model).Out, Does.Contain("norm inf").And.Not.Contain("failed"));
        });
    }

    // compare says before what rescale does after, and the written file agrees.
    [TestCase("1")]
    [TestCase("2")]
    public void It_says_what_rescale_does(string norm)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var compared = Tool.Run("compare", model, "--norms", norm, "--json").Json;
        var rescaled = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--norm", norm, "--int8", "--json").Json;
        var written = Tool.Run("compare", directory["out.onnx"], "--json").Json.GetProperty("before");
        var row = compared.GetProperty("norms")[0];
        Assert.Multiple(() =>
        {
            Assert.That(row.GetProperty("objectiveAfter").GetDouble(), Is.EqualTo(rescaled.GetProperty("objectiveAfter").GetDouble()));
            Assert.That(row.GetProperty("sweeps").GetDouble(), Is.EqualTo(rescaled.GetProperty("sweeps").GetDouble()));
            Same(compared.GetProperty("before"), rescaled.GetProperty("int8").GetProperty("before"), 0);
            Same(row.GetProperty("int8"), rescaled.GetProperty("int8").GetProperty("after"), 0);
            Same(written, rescaled.GetProperty("int8").GetProperty("after"), 0);
        });
    }

    [Test]
    public void The_ratios_are_those_of_the_definition()
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        model.Rescale(0, 2, 37);
        var json = Tool.Run("compare", model.Save(directory["in.onnx"]), "--json").Json.GetProperty("before");
        double signal = 0, noise = 0, worst = double.PositiveInfinity, spread = 0;
        foreach (float[] w in model.Weights)
        {
            double scale = w.Max(v => Math.Abs((double)v)) / 127;
            double own = w.Sum(v => (double)v * v), lost = w.Sum(v => Math.Pow(v - scale * Math.Round(v / scale), 2));
            (signal, noise, worst) = (signal + own, noise + lost, Math.Min(worst, 10 * Math.Log10(own / lost)));
        }

        for (int n = 0; n < 3; n++)
        {
            var ranges = model.Weights[n].Chunk(DenseModel.Widths[n]).Select(row => row.Max(v => Math.Abs((double)v))).ToList();
            spread = Math.Max(spread, ranges.Max() / ranges.Min());
        }

        var tensor = json.GetProperty("perTensor");
        Assert.Multiple(() =>
        {
            Assert.That(tensor.GetProperty("decibels").GetDouble(), Is.EqualTo(10 * Math.Log10(signal / noise)).Within(1e-6));
            Assert.That(tensor.GetProperty("noiseToSignal").GetDouble(), Is.EqualTo(noise / signal).Within(1e-6).Percent);
            Assert.That(tensor.GetProperty("worstDecibels").GetDouble(), Is.EqualTo(worst).Within(1e-6));
            Assert.That(json.GetProperty("channelSpread").GetDouble(), Is.EqualTo(spread).Within(1e-6).Percent);
            Assert.That(json.GetProperty("widestLayer").GetString(), Is.EqualTo("w0"));
        });
    }

    // The folded weights are what is quantised; kept, the weights of the file and the gains.
    [Test]
    public void Folding_decides_what_the_weights_are()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var folded = Tool.Run("rescale", model, "--dry-run", "--int8", "--json").Json.GetProperty("int8").GetProperty("layers");
        var kept = Tool.Run("rescale", model, "--dry-run", "--int8", "--batch-norm", "keep", "--json").Json.GetProperty("int8").GetProperty("layers");
        Assert.Multiple(() =>
        {
            Assert.That(folded.GetArrayLength(), Is.EqualTo(4));
            Assert.That(kept.GetArrayLength(), Is.EqualTo(7));
            Assert.That(Db(folded[0]), Is.Not.EqualTo(Db(kept[0])));
            var gain = kept.EnumerateArray().First(l => l.GetProperty("name").GetString() == "g0").GetProperty("before").GetProperty("perChannel");
            Assert.That((gain.GetProperty("decibels").ValueKind, gain.GetProperty("noiseToSignal").GetDouble()), Is.EqualTo((JsonValueKind.Null, 0.0)), "one number a channel is exact");
        });

        static double Db(JsonElement layer) => layer.GetProperty("before").GetProperty("perTensor").GetProperty("decibels").GetDouble();
    }

    [TestCase(80)]
    [TestCase(120)]
    public void Text_is_a_column_for_each_norm(int width)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var run = Tool.Run(width, ["compare", model, "--norms", "1, 2,2"]);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(run.Out, Does.Contain("as it is").And.Contain("norm 1").And.Contain("norm 2").And.Contain("int8 by tensor, dB").And.Contain("Channel spread"));
            Assert.That(run.Out, Does.Contain("Nothing was written").And.Contain("3 batch normalisations").And.Not.Contain('\x1b'));
            Assert.That(run.Out.Split('\n').Where(l => l.Length > width && !l.Contains(directory.Path, StringComparison.Ordinal)), Is.Empty);
            Assert.That(run.Out.Split("norm 2").Length, Is.LessThanOrEqualTo(3), "a norm that comes twice counts once");
        });
    }

    [Test]
    public void Rescale_says_it_on_request_only()
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        Array.Clear(model.Weights[1]);
        string path = model.Save(directory["in.onnx"]);
        var plain = Tool.Run("rescale", path, "--dry-run");
        var text = Tool.Run(80, ["rescale", path, "--dry-run", "--int8"]);
        var json = Tool.Run("rescale", path, "--dry-run", "--int8", "--json").Json.GetProperty("int8");
        var zero = json.GetProperty("layers")[1].GetProperty("after");
        Assert.Multiple(() =>
        {
            Assert.That(plain.Out, Does.Not.Contain("int8").And.Not.Contain("dB"));
            Assert.That(Tool.Run("rescale", path, "--dry-run", "--json").Json.GetProperty("int8").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(text.Out, Does.Contain("Signal-to-noise").And.Contain("Int8 by tensor").And.Contain("in the worst layer"));
            Assert.That(zero.GetProperty("perTensor").EnumerateObject().Select(p => p.Value.ValueKind), Is.All.EqualTo(JsonValueKind.Null), "a layer of zeros");
            Assert.That(json.GetProperty("seconds").GetDouble(), Is.Positive);
        });
    }

    [Test]
    public void A_norm_that_does_not_converge_is_said_and_leaves_the_others()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Rescale(0, 2, 37).Rescale(1, 0, 0.003f).Save(directory["in.onnx"]);
        var json = Tool.Run("compare", model, "--max-sweeps", "1", "--tolerance", "1e-15", "--json");
        var text = Tool.Run("compare", model, "--max-sweeps", "1", "--tolerance", "1e-15");
        Assert.Multiple(() =>
        {
            Assert.That((json.ExitCode, text.ExitCode), Is.EqualTo((4, 4)));
            Assert.That(json.Json.GetProperty("status").GetString(), Is.EqualTo("NotConverged"));
            Assert.That(json.Json.GetProperty("norms").EnumerateArray().Select(n => n.GetProperty("int8").ValueKind), Is.All.EqualTo(JsonValueKind.Object));
            Assert.That(text.Out, Does.Contain("Norm 2"));
        });
    }

    [TestCase("x")]
    [TestCase("1,")]
    [TestCase("2,-1")]
    [TestCase("nan")]
    public void Norms_are_positive(string norms)
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("compare", new DenseModel().Save(directory["in.onnx"]), "--norms", norms);
        Assert.That((run.ExitCode, run.Error), Is.EqualTo((2, run.Error)));
        Assert.That(run.Error, Does.Contain("--norms").And.Contain(norms));
    }

    [Test]
    public void A_bad_weight_is_named_and_nothing_is_compared()
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        model.Weights[1][7] = float.NaN;
        var run = Tool.Run("compare", model.Save(directory["in.onnx"]), "--json");
        Assert.That(run.ExitCode, Is.EqualTo(5));
        Assert.That(run.Json.GetProperty("error").GetString(), Does.Contain("'w1' holds NaN at output 1, input 1"));
    }

    [Test]
    public void With_nothing_free_all_columns_are_the_same()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel { Activation = "Sigmoid" }.Save(directory["in.onnx"]);
        var json = Tool.Run("compare", model, "--json").Json;
        var text = Tool.Run("compare", model);
        Assert.Multiple(() =>
        {
            Assert.That(text.ExitCode, Is.Zero);
            Assert.That(text.Out, Does.Contain("every channel group is pinned"));
            Same(json.GetProperty("norms")[0].GetProperty("int8"), json.GetProperty("before"), 0);
        });
    }

    [Test]
    public void Freezing_works_as_for_rescale()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        Assert.That(Tool.Run("compare", model, "--freeze", "w0", "--json").Json.GetProperty("channels").GetInt32(), Is.EqualTo(DenseModel.Widths[2]));
        Assert.That(Tool.Run("compare", model, "--freeze", "nobody").ExitCode, Is.EqualTo(2));
    }

    private static void Same(JsonElement actual, JsonElement expected, double decibels)
    {
        foreach (string kind in new[] { "perTensor", "perChannel" })
        {
            var (a, b) = (actual.GetProperty(kind), expected.GetProperty(kind));
            Assert.That(a.GetProperty("decibels").GetDouble(), Is.EqualTo(b.GetProperty("decibels").GetDouble()).Within(decibels));
            Assert.That(a.GetProperty("worstLayer").GetString(), Is.EqualTo(b.GetProperty("worstLayer").GetString()));
        }

        Assert.That(actual.GetProperty("channelSpread").GetDouble(), Is.EqualTo(expected.GetProperty("channelSpread").GetDouble()).Within(decibels));
    }
}
