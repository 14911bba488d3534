using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class InspectTests
{
    [Test]
    public void Groups_have_sources_sinks_and_pins()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("inspect", new ResidualModel().Save(directory["in.onnx"]), "--json");
        var groups = run.Json.GetProperty("groups").EnumerateArray().ToList();
        var stream = groups.Single(g => g.GetProperty("sources").GetArrayLength() == 2);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(groups, Has.Count.EqualTo(4));
            Assert.That(stream.GetProperty("sources").EnumerateArray().Select(s => s.GetString()), Is.EquivalentTo(["conv1", "conv3"]));
            Assert.That(stream.GetProperty("sinks").EnumerateArray().Select(s => s.GetString()), Is.EquivalentTo(["conv2", "dense"]));
            Assert.That(groups.Count(g => g.GetProperty("pinnedBecause").GetString() is not null), Is.EqualTo(2));
            Assert.That(run.Json.GetProperty("foldedNormalizations").GetArrayLength(), Is.EqualTo(3));
            Assert.That(run.Json.GetProperty("residual").GetDouble(), Is.Positive);
        });
    }

    [Test]
    public void The_objective_is_the_sum_over_all_weights()
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        double squares = model.Weights.Sum(w => w.Sum(v => (double)v * v));
        double absolute = model.Weights.Sum(w => w.Sum(v => (double)Math.Abs(v)));
        string path = model.Save(directory["in.onnx"]);
        Assert.Multiple(() =>
        {
            Assert.That(Tool.Run("inspect", path, "--json").Json.GetProperty("objective").GetDouble(), Is.EqualTo(squares).Within(1e-12).Percent);
            Assert.That(Tool.Run("inspect", path, "--norm", "1", "--json").Json.GetProperty("objective").GetDouble(), Is.EqualTo(absolute).Within(1e-12).Percent);
        });
    }

    [Test]
    public void Text_names_the_blocking_operator()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("inspect", new DenseModel { Activation = "Sigmoid" }.Save(directory["in.onnx"]));
        Assert.That(run.Out, Does.Contain("Sigmoid").And.Contain("w0").And.Contain("pinned"));
    }
}
