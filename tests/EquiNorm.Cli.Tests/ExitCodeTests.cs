using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

[TestFixture]
internal sealed class ExitCodeTests
{
    [TestCase("")]
    [TestCase("frobnicate")]
    [TestCase("rescale")]
    [TestCase("rescale IN")]
    [TestCase("rescale IN -o")]
    [TestCase("rescale IN -o OUT --nonsense")]
    [TestCase("rescale IN -o OUT --norm 0")]
    [TestCase("rescale IN -o OUT --norm -inf")]
    [TestCase("rescale IN -o OUT --norm two")]
    [TestCase("rescale IN -o OUT --tolerance -1")]
    [TestCase("rescale IN -o OUT --max-sweeps 0")]
    [TestCase("rescale IN -o OUT --penalty depth:")]
    [TestCase("rescale IN -o OUT --penalty depth:0")]
    [TestCase("rescale IN -o OUT --order newton")]
    [TestCase("rescale IN -o OUT --threads -1")]
    [TestCase("rescale IN -o OUT --backend gpu")]
    [TestCase("rescale IN -o OUT --backend cuda:")]
    [TestCase("rescale IN -o OUT --backend cuda:-1")]
    [TestCase("rescale IN -o OUT --backend cpu:1")]
    [TestCase("rescale IN -o OUT --backend ilgpu:")]
    [TestCase("rescale IN -o OUT --backend ilgpu:opencl")]
    [TestCase("rescale IN -o OUT --freeze nobody")]
    [TestCase("rescale IN -o MISSING/OUT")]
    [TestCase("rescale IN -o DIR")]
    [TestCase("rescale IN -o LONG")]
    [TestCase("rescale IN OUT -o OUT")]
    [TestCase("inspect")]
    [TestCase("inspect IN --norm 0")]
    [TestCase("verify IN")]
    [TestCase("rescale IN -o OUT --bn train")]
    [TestCase("describe")]
    [TestCase("describe IN -o MISSING/OUT")]
    [TestCase("describe IN -o DIR")]
    [TestCase("describe IN -o LONG")]
    [TestCase("describe IN --bn fold")]
    public void A_wrong_command_line_is_2_and_writes_nothing(string line)
    {
        using var directory = new TemporaryDirectory();
        new DenseModel().Save(directory["in.onnx"]);
        string[] args = [.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(word => word switch
        {
            "IN" => directory["in.onnx"],
            "OUT" => directory["out.onnx"],
            "MISSING/OUT" => Path.Combine(directory["missing"], "out.onnx"),
            "DIR" => directory.Path,
            "LONG" => directory[new string('x', 300)],
            _ => word,
        })];
        var run = Tool.Run(args);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(2), run.Out + run.Error);
            Assert.That(run.Error, Does.StartWith("equinorm: "));
            Assert.That(run.Out, Is.Empty);
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }

    [TestCase("rescale")]
    [TestCase("inspect")]
    [TestCase("verify")]
    public void A_bad_model_is_3_and_writes_nothing(string command)
    {
        using var directory = new TemporaryDirectory();
        string good = new DenseModel().Save(directory["good.onnx"]);
        byte[] bytes = File.ReadAllBytes(good);
        File.WriteAllBytes(directory["truncated.onnx"], bytes[..(bytes.Length / 2)]);
        File.WriteAllText(directory["text.onnx"], "This is no model at all, only a sentence.");
        File.WriteAllBytes(directory["empty.onnx"], []);
        foreach (string name in (string[])["truncated.onnx", "text.onnx", "empty.onnx", "absent.onnx"])
        {
            string[] rest = command switch { "rescale" => ["-o", directory["out.onnx"]], "verify" => [good], _ => [] };
            var run = Tool.Run([command, directory[name], .. rest]);
            Assert.Multiple(() =>
            {
                Assert.That(run.ExitCode, Is.EqualTo(3), name);
                Assert.That(run.Error, Does.Contain(name));
                Assert.That(run.Out, Is.Empty);
                Assert.That(File.Exists(directory["out.onnx"]), Is.False);
            });
        }
    }

    [Test]
    public void The_sweep_limit_is_4_and_the_output_is_a_valid_rescaling()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Rescale(0, 1, 50).Rescale(1, 2, 0.01f).Save(directory["in.onnx"]);
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--max-sweeps", "1", "--tolerance", "1e-15", "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(4));
            Assert.That(run.Json.GetProperty("status").GetString(), Is.EqualTo("SweepLimit"));
            Assert.That(run.Json.GetProperty("sweeps").GetDouble(), Is.LessThan(2.5));
            Assert.That(Tool.Run("verify", model, directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [TestCase("w1", float.NaN)]
    [TestCase("w1", float.PositiveInfinity)]
    [TestCase("b1", float.NaN)]
    public void A_weight_that_is_not_finite_is_5_and_named(string tensor, float value)
    {
        using var directory = new TemporaryDirectory();
        var model = new DenseModel();
        (tensor[0] == 'w' ? model.Weights : model.Biases)[1][3] = value;
        var run = Tool.Run("rescale", model.Save(directory["in.onnx"]), "-o", directory["out.onnx"]);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(5), run.Error);
            Assert.That(run.Error, Does.Contain($"'{tensor}'"));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }

    [Test]
    public void A_cancelled_run_is_130_and_writes_nothing()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        var run = Tool.Run(100, ["rescale", model, "-o", directory["out.onnx"]], new CancellationToken(canceled: true));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(130));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }

    [TestCase("--help")]
    [TestCase("rescale --help")]
    [TestCase("--version")]
    public void Help_is_0(string line)
    {
        var run = Tool.Run(line.Split(' '));
        Assert.That((run.ExitCode, run.Out.Length > 3, run.Error), Is.EqualTo((0, true, "")));
    }
}
