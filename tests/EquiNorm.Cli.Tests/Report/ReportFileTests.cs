// Where a report goes, what it claims, and when there is none.
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests.Report;

[TestFixture]
internal sealed class ReportFileTests
{
    [Test]
    public void It_says_what_happened()
    {
        using var directory = new TemporaryDirectory();
        var dense = new DenseModel().Rescale(0, 2, 370).Rescale(1, 0, 0.003f);
        Array.Clear(dense.Weights[0], 4, 4); // channel 1 is dead
        string model = dense.Save(directory["in.onnx"]), report = directory["report.html"];
        var run = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--report", report);
        string deviation = Tool.Run("verify", model, directory["out.onnx"], "--json").Json.GetProperty("maxDeviation").GetDouble() == 0 ? "0" : "10⁻";
        var page = ReportHtml.Load(report);
        string hash = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(directory["out.onnx"])));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(page.Headline, Does.StartWith("The sum of squared weights fell from").And.EndWith("times smaller."));
            Assert.That(page.Words, Does.Contain("certified").And.Contain("The function is unchanged. Verified").And.Contain(deviation).And.Contain("Function verified"));
            Assert.That(page.Words, Does.Contain("Frozen: 1 dead channel").And.Contain("nothing writes it").And.Contain("network input image"));
            Assert.That(page.Words, Does.Contain($"equinorm rescale {model} -o {directory["out.onnx"]} --report {report}").And.Contain(hash));
            Assert.That(page.Words, Does.Contain(".NET").And.Contain("logical processor").And.Contain("verify"));
            Assert.That(page.Root.Descendants("path").Count(p => (string?)p.Attribute("class") == "k kd"), Is.EqualTo(2), "the legend, and the dead channel");
        });
    }

    [Test]
    public void A_dry_run_claims_nothing_about_files()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new ResidualModel().Save(directory["in.onnx"]), "--dry-run", "--report", directory["report.html"]);
        var page = ReportHtml.Load(directory["report.html"]);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(page.Headline, Does.Contain("would fall from"));
            Assert.That(page.Words, Does.Contain("Nothing was written (dry run)").And.Not.Contain("unchanged").And.Not.Contain("Function verified"));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.EqualTo(["report.html"]));
        });
    }

    [Test]
    public void In_place_it_says_that_nothing_could_be_compared()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        string before = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(model)));
        var run = Tool.Run("rescale", model, "-o", model, "--report", directory["report.html"]);
        var page = ReportHtml.Load(directory["report.html"]);
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        Assert.That(page.Words, Does.Contain("The output replaced the input").And.Not.Contain("Function verified").And.Contain(before));
    }

    [Test]
    public void With_nothing_free_it_gives_the_reasons()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new DenseModel { Activation = "Sigmoid" }.Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--report", directory["report.html"]);
        var page = ReportHtml.Load(directory["report.html"]);
        Assert.That(run.ExitCode, Is.Zero, run.Error);
        Assert.That(page.Headline, Is.EqualTo("Nothing could be rescaled: every channel group is pinned."));
        Assert.That(page.Words, Does.Contain("Sigmoid").And.Not.Contain("Convergence"));
    }

    [Test]
    public void A_solve_that_ended_early_is_called_so()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new ResidualModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--max-sweeps", "1", "--tolerance", "1e-14", "--report", directory["report.html"]);
        Assert.That(run.ExitCode, Is.EqualTo((int)ExitCode.NotConverged));
        Assert.That(ReportHtml.Load(directory["report.html"]).Words, Does.Contain("Not converged"));
    }

    [Test]
    public void It_replaces_no_file_of_the_run()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        byte[] bytes = File.ReadAllBytes(model);
        string link = directory["link.html"];
        File.CreateSymbolicLink(link, model);
        string folder = Path.GetFileName(directory.Path);
        string[][] wrong =
        [
            ["-o", directory["out.onnx"], "--report", directory["out.onnx"]],
            ["-o", directory["out.onnx"], "--report", Path.Combine(directory.Path, "..", folder, "out.onnx")],
            ["-o", directory["out.onnx"], "--report", directory["out.onnx.data"]],
            ["-o", directory["out.onnx"], "--report", model],
            ["--dry-run", "--report", model],
            ["--dry-run", "--report", link],
            ["--dry-run", "--report", directory["missing/report.html"]],
            ["--dry-run", "--report", directory.Path],
            ["--dry-run", "--report", ""],
        ];
        Assert.Multiple(() =>
        {
            foreach (string[] options in wrong)
            {
                var run = Tool.Run(["rescale", model, .. options]);
                Assert.That(run.ExitCode, Is.EqualTo((int)ExitCode.Usage), string.Join(' ', options) + run.Error);
                Assert.That(run.Error, Does.Contain("report").IgnoreCase.Or.Contain("directory"));
            }

            Assert.That(File.ReadAllBytes(model), Is.EqualTo(bytes));
            Assert.That(Tool.Left(directory, "in.onnx", "link.html"), Is.Empty);
        });
    }

    [Test]
    public void It_replaces_no_data_file_of_the_model_and_takes_no_hash_of_a_part()
    {
        using var directory = new TemporaryDirectory();
        byte[] data = System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(DenseModel.Values(1, 4)).ToArray();
        File.WriteAllBytes(directory["weights.bin"], data);
        var model = new OnnxModelWriter().Input("x", -1, 2).Output("y", -1, 2);
        model.Child(5, model.External("w", 1, [2, 2], ("location", "weights.bin"))).Floats("v", [2, 2], DenseModel.Values(2, 4));
        string path = model.Node("MatMul", ["x", "w"], ["h"]).Node("Relu", ["h"], ["r"]).Node("MatMul", ["r", "v"], ["y"]).Save(directory["in.onnx"]);
        var refused = Tool.Run("rescale", path, "--dry-run", "--report", directory["weights.bin"]);
        var made = Tool.Run("rescale", path, "-o", directory["out.onnx"], "--report", directory["report.html"]);
        Assert.Multiple(() =>
        {
            Assert.That(refused.ExitCode, Is.EqualTo((int)ExitCode.Usage), refused.Error);
            Assert.That(File.ReadAllBytes(directory["weights.bin"]), Is.EqualTo(data));
            Assert.That(made.ExitCode, Is.Zero, made.Error);
            Assert.That(ReportHtml.Load(directory["report.html"]).Words, Does.Contain("with its data files").And.Contain("not taken").And.Contain("Function verified"));
        });
    }

    [Test]
    public void A_run_that_fails_leaves_none_and_keeps_an_older_one()
    {
        using var directory = new TemporaryDirectory();
        var dense = new DenseModel();
        dense.Weights[1][3] = float.NaN;
        string model = dense.Save(directory["in.onnx"]);
        File.WriteAllText(directory["old.html"], "older");
        int first = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--report", directory["new.html"]).ExitCode;
        int second = Tool.Run("rescale", model, "-o", directory["out.onnx"], "--report", directory["old.html"]).ExitCode;
        Assert.That((first, second), Is.EqualTo(((int)ExitCode.NonFinite, (int)ExitCode.NonFinite)));
        Assert.That(Tool.Left(directory, "in.onnx"), Is.EqualTo(["old.html"]));
        Assert.That(File.ReadAllText(directory["old.html"]), Is.EqualTo("older"));
    }
}
