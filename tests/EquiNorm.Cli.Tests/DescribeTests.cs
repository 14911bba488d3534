using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class DescribeTests
{
    [Test]
    public void Standard_output_is_a_description_with_the_stored_shapes()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("describe", new ResidualModel().Save(directory["in.onnx"]));
        var network = NetworkDescription.Parse(Encoding.UTF8.GetBytes(run.Out));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Error, Is.Empty);
            Assert.That(network.Weights.Select(w => w.Name), Is.EqualTo(["conv1", "g0", "e0", "conv2", "g1", "e1", "conv3", "g2", "e2", "dense"]));
            Assert.That(network.Weights.Where(w => w.Role == WeightRole.Bias).Select(w => w.Name), Is.EqualTo(["e0", "e1", "e2"]));
            Assert.That(run.Json.GetProperty("weights")[0].GetProperty("shape").EnumerateArray().Select(e => e.GetInt32()), Is.EqualTo([4, 3, 3, 3]));
            Assert.That(network.Groups.Where(g => !g.IsPinned).Select(g => g.Name), Is.EqualTo(["n0", "n1"]), "the stream and the inside of the block");
            Assert.That(network.Groups.Single(g => g.Name == "c1").PinnedBecause, Does.Contain("BatchNormalization_n1").And.Contain("training"));
            Assert.That(network.Weight("conv1").Height, Is.EqualTo(6));
        });
    }

    [Test]
    public void A_file_gets_the_same_text_and_replaces_what_was_there()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        File.WriteAllText(directory["net.json"], "old");
        var run = Tool.Run("describe", model, "-o", directory["net.json"]);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Out, Does.Contain("net.json: 10 tensors, 8 channels in 2 groups"));
            Assert.That(File.ReadAllText(directory["net.json"]), Is.EqualTo(Tool.Run("describe", model).Out));
            Assert.That(Tool.Left(directory, "in.onnx", "net.json"), Is.Empty);
        });
    }

    [Test]
    public void A_model_that_cannot_be_read_leaves_the_file_alone()
    {
        using var directory = new TemporaryDirectory();
        File.WriteAllText(directory["net.json"], "old");
        File.WriteAllText(directory["in.onnx"], "no model");
        var run = Tool.Run("describe", directory["in.onnx"], "-o", directory["net.json"]);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(3));
            Assert.That(run.Error, Does.Contain("in.onnx"));
            Assert.That(File.ReadAllText(directory["net.json"]), Is.EqualTo("old"));
            Assert.That(Tool.Left(directory, "in.onnx", "net.json"), Is.Empty);
        });
    }

    [Test]
    public void Cancelling_leaves_the_file_alone()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        var run = Tool.Run(100, ["describe", model, "-o", directory["net.json"]], new CancellationToken(canceled: true));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(130));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }
}
