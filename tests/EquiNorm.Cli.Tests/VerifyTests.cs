using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class VerifyTests
{
    [Test]
    public void A_model_is_a_rescaling_of_itself()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var run = Tool.Run("verify", model, model, "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Json.GetProperty("same").GetBoolean(), Is.True);
            Assert.That(run.Json.GetProperty("maxDeviation").GetDouble(), Is.Zero);
            Assert.That(run.Json.GetProperty("rescaledChannels").GetInt32(), Is.Zero);
        });
    }

    [TestCase(2f)]
    [TestCase(0.37f)]
    [TestCase(1e6f)]
    public void Factors_are_recovered(float factor)
    {
        var run = Compare(m => m.Rescale(0, 3, factor).Rescale(1, 0, 1 / factor));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Out);
            Assert.That(run.Json.GetProperty("rescaledChannels").GetInt32(), Is.EqualTo(2));
            Assert.That(run.Json.GetProperty("largestFactor").GetDouble(), Is.EqualTo(Math.Max(factor, 1 / factor)).Within(1e-4).Percent);
        });
    }

    private static IEnumerable<TestCaseData> Changes()
    {
        yield return new TestCaseData("w1", (Action<DenseModel>)(m => m.Weights[1][7] *= 1.00001f)).SetName("One_weight_by_a_hundred_thousandth");
        yield return new TestCaseData("w0", (Action<DenseModel>)(m => m.Weights[0][0] = 0)).SetName("One_weight_gone");
        yield return new TestCaseData("b1", (Action<DenseModel>)(m => m.Biases[1][2] += 1e-4f)).SetName("One_bias");
        yield return new TestCaseData("b0", (Action<DenseModel>)(m => { m.Rescale(0, 2, 3); m.Biases[0][2] /= 3; })).SetName("A_bias_left_behind");
        yield return new TestCaseData("w", (Action<DenseModel>)(m => Swap(m, 1, 4))).SetName("Two_channels_swapped");
        yield return new TestCaseData("negative", (Action<DenseModel>)(m => m.Rescale(0, 1, -1))).SetName("A_negative_factor");
        yield return new TestCaseData("w2", (Action<DenseModel>)(m => Scale(m.Weights[2], 2))).SetName("A_factor_on_the_output");
        yield return new TestCaseData("w0", (Action<DenseModel>)(m => m.Weights[0][5] = float.NaN)).SetName("Not_a_number");
        yield return new TestCaseData("LeakyRelu", (Action<DenseModel>)(m => m.Activation = "LeakyRelu")).SetName("Another_operator");
    }

    [TestCaseSource(nameof(Changes))]
    public void A_change_is_seen_and_named(string named, object change)
    {
        var run = Compare((Action<DenseModel>)change);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(1), run.Out);
            Assert.That(run.Json.GetProperty("same").GetBoolean(), Is.False);
            Assert.That(run.Json.GetProperty("reason").GetString(), Does.Contain(named));
        });
    }

    [Test]
    public void An_attribute_is_part_of_the_function()
    {
        using var directory = new TemporaryDirectory();
        string a = new DenseModel { Activation = "LeakyRelu", Attributes = [("alpha", 0.1f)] }.Save(directory["a.onnx"]);
        string b = new DenseModel { Activation = "LeakyRelu", Attributes = [("alpha", 0.2f)] }.Save(directory["b.onnx"]);
        var run = Tool.Run("verify", a, b);
        Assert.That((run.ExitCode, run.Out), Is.EqualTo((1, run.Out)));
        Assert.That(run.Out, Does.Contain("alpha"));
    }

    [Test]
    public void Another_architecture_is_not_the_same()
    {
        using var directory = new TemporaryDirectory();
        string dense = new DenseModel().Save(directory["a.onnx"]);
        string residual = new ResidualModel().Save(directory["b.onnx"]);
        Assert.That(Tool.Run("verify", dense, residual).ExitCode, Is.EqualTo(1));
        Assert.That(Tool.Run("verify", residual, dense).ExitCode, Is.EqualTo(1));
    }

    private static IEnumerable<TestCaseData> NormalizationChanges()
    {
        yield return Case("Gamma", m => m.Gamma[1][2] *= 1.001f);
        yield return Case("Beta", m => m.Beta[2][0] += 0.001f);
        yield return Case("Mean", m => m.Mean[0][1] += 0.001f);
        yield return Case("Variance", m => m.Variance[1][3] *= 1.01f);
        yield return Case("Convolution", m => m.Conv3[17] *= 1.0001f);
        yield return Case("Padding", m => m.Pad = 0);

        static TestCaseData Case(string name, Action<ResidualModel> change) => new TestCaseData(change).SetName($"{name}_of_a_normalised_network");
    }

    // On the left the network that the output is compared with has changed; the output is folded, the input is not.
    [TestCaseSource(nameof(NormalizationChanges))]
    public void A_change_before_folding_is_seen_after_it(object change)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        Tool.Run("rescale", model, "-o", directory["out.onnx"]);
        var other = new ResidualModel();
        ((Action<ResidualModel>)change)(other);
        Assert.Multiple(() =>
        {
            Assert.That(Tool.Run("verify", model, directory["out.onnx"]).ExitCode, Is.Zero);
            Assert.That(Tool.Run("verify", other.Save(directory["other.onnx"]), directory["out.onnx"]).ExitCode, Is.EqualTo(1));
        });
    }

    [Test]
    public void A_folded_model_is_the_same_in_both_directions()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        Tool.Run("rescale", model, "-o", directory["out.onnx"]);
        Tool.Run("rescale", model, "-o", directory["kept.onnx"], "--batch-norm", "keep");
        Assert.Multiple(() =>
        {
            Assert.That(Tool.Run("verify", directory["out.onnx"], model).ExitCode, Is.Zero);
            Assert.That(Tool.Run("verify", directory["out.onnx"], directory["kept.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void Zero_weights_carry_no_information_and_do_no_harm()
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        Array.Clear(model.Weights[0], 0, 12); // three channels that nothing writes
        for (int o = 0; o < DenseModel.Widths[3]; o++)
        {
            model.Weights[2][o * DenseModel.Widths[2] + 1] = 0; // one that nothing reads
        }

        string path = model.Save(directory["in.onnx"]);
        Tool.Run("rescale", path, "-o", directory["out.onnx"]);
        var run = Tool.Run("verify", path, directory["out.onnx"], "--json");
        Assert.That(run.ExitCode, Is.Zero, run.Out);
    }

    [Test]
    public void Constants_that_nobody_can_read_as_numbers_are_compared_by_their_bytes()
    {
        using var directory = new TemporaryDirectory();
        string hello = Save("hello"), world = Save("world");
        Assert.That(Tool.Run("verify", hello, hello).ExitCode, Is.Zero);
        Assert.That(Tool.Run("verify", hello, world).ExitCode, Is.EqualTo(1));

        string Save(string text)
        {
            var model = new OnnxModelWriter().Input("x", -1, 2).Output("y", -1, 2).Floats("w", [2, 2], [1, 2, 3, 4]);
            model.Child(5, model.Header("t", 8, 1).Text(6, text));
            return model.Node("MatMul", ["x", "w"], ["h"]).Node("Mystery", ["h", "t"], ["y"]).Save(directory[text + ".onnx"]);
        }
    }

    private static ToolRun Compare(Action<DenseModel> change)
    {
        using var directory = new TemporaryDirectory();
        string a = new DenseModel().Save(directory["a.onnx"]);
        var other = new DenseModel();
        change(other);
        return Tool.Run("verify", a, other.Save(directory["b.onnx"]), "--json");
    }

    // The same function, and no rescaling of it.
    private static void Swap(DenseModel model, int x, int y)
    {
        var (rows, columns) = (DenseModel.Widths[0], DenseModel.Widths[1]);
        for (int i = 0; i < rows; i++)
        {
            (model.Weights[0][x * rows + i], model.Weights[0][y * rows + i]) = (model.Weights[0][y * rows + i], model.Weights[0][x * rows + i]);
        }

        (model.Biases[0][x], model.Biases[0][y]) = (model.Biases[0][y], model.Biases[0][x]);
        for (int o = 0; o < DenseModel.Widths[2]; o++)
        {
            (model.Weights[1][o * columns + x], model.Weights[1][o * columns + y]) = (model.Weights[1][o * columns + y], model.Weights[1][o * columns + x]);
        }
    }

    private static void Scale(float[] values, float factor)
    {
        for (int n = 0; n < values.Length; n++)
        {
            values[n] *= factor;
        }
    }
}
