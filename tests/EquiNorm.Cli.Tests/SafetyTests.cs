using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Runtime.Versioning;
using EquiNorm.Testing;
using EquiNorm.Testing.Onnx;
using EquiNorm.Testing.Safetensors;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

/// <summary>
/// What may happen to a run from outside, by processes of their own: signals, a full disk, places that cannot be written, links, other runs. The input is what it
/// was, or a whole output; there is never a part of one, a temporary file or a lock.
/// </summary>
[TestFixture]
[Platform("Linux")]
[SupportedOSPlatform("linux")]
internal sealed class SafetyTests
{
    private const int Wide = 2048;

    [TestCase("in.onnx", "INT")]
    [TestCase("in.onnx", "TERM")]
    [TestCase("in.safetensors", "INT")]
    public void A_signal_while_writing_leaves_nothing(string input, string signal)
    {
        using var directory = new TemporaryDirectory();
        string[] own = SaveWide(directory);
        byte[] before = File.ReadAllBytes(directory[input]);
        string output = directory["out" + Path.GetExtension(input)];
        using var process = Start(["rescale", directory[input], "-o", output, "--max-sweeps", "1", .. Network(directory, input)]);
        if (!WaitFor(process, () => Directory.EnumerateFiles(directory.Path, "out*.tmp").Any(f => Length(f) > 1 << 20)))
        {
            Assert.Inconclusive("The run was over before its temporary file was seen.");
        }

        Send(process, signal);
        process.WaitForExit();
        if (process.ExitCode is 0 or 4)
        {
            Assert.Inconclusive("The run was over before the signal came.");
        }

        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.EqualTo(130));
            Assert.That(Tool.Left(directory, own), Is.Empty);
            Assert.That(File.ReadAllBytes(directory[input]), Is.EqualTo(before));
        });
    }

    [Test]
    public void A_signal_at_any_moment_leaves_nothing_or_a_whole_output([Values(0, 60, 120, 250, 400)] int milliseconds)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["m.onnx"]);
        File.Copy(model, directory["copy.onnx"]);
        using var process = Start(["rescale", model, "-o", model]);
        process.WaitForExit(milliseconds);
        Send(process, "INT");
        process.WaitForExit();
        Assert.Multiple(() =>
        {
            Assert.That(process.ExitCode, Is.AnyOf(0, 130));
            Assert.That(Tool.Left(directory, "m.onnx", "copy.onnx"), Is.Empty);
            Assert.That(Tool.Run("verify", directory["copy.onnx"], model).ExitCode, Is.Zero, "the model is there, whole");
        });
    }

    // A limit on the size of files is a full disk for whoever meets it. Writing beyond it sends a signal, which is ignored here as a full disk would have none.
    [TestCase("in.onnx", "out.onnx")]
    [TestCase("in.onnx", "in.onnx")]
    [TestCase("in.safetensors", "out.safetensors")]
    [TestCase("in.safetensors", "in.safetensors")]
    public void A_full_disk_is_2_and_leaves_nothing(string input, string output)
    {
        using var directory = new TemporaryDirectory();
        string[] own = SaveWide(directory);
        byte[] before = File.ReadAllBytes(directory[input]);
        var run = Finish(Start(["rescale", directory[input], "-o", directory[output], "--max-sweeps", "1", .. Network(directory, input)], "trap '' XFSZ; ulimit -f 2000;"));
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(2), run.Out + run.Error);
            Assert.That(run.Error, Does.Contain("cannot be written").And.Contain("Nothing was written."));
            Assert.That(Tool.Left(directory, own), Is.Empty);
            Assert.That(File.ReadAllBytes(directory[input]), Is.EqualTo(before));
        });
    }

    [Test]
    public void A_directory_that_cannot_be_written_is_2()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]);
        Directory.CreateDirectory(directory["locked"], UnixFileMode.UserRead | UnixFileMode.UserExecute);
        // Nobody can make files in /proc, an administrator neither; a directory without rights stops the others only.
        foreach (string output in (string[])["/proc/out.onnx", .. Environment.IsPrivilegedProcess ? Array.Empty<string>() : [Path.Combine(directory["locked"], "out.onnx")]])
        {
            var run = Tool.Run("rescale", model, "-o", output);
            Assert.That(run.ExitCode, Is.EqualTo(2), output);
            Assert.That(run.Error, Does.Contain(output).And.Contain("Nothing was written."));
        }

        Assert.That(Tool.Left(directory, "in.onnx", "locked"), Is.Empty);
    }

    [Test]
    public void A_file_that_is_read_only_stays()
    {
        using var directory = new TemporaryDirectory();
        string model = new DenseModel().Save(directory["in.onnx"]), output = directory["out.onnx"];
        File.WriteAllText(output, "precious");
        File.SetUnixFileMode(output, UnixFileMode.UserRead);
        var run = Tool.Run("rescale", model, "-o", output);
        Assert.That((run.ExitCode, File.ReadAllText(output)), Is.EqualTo((2, "precious")), run.Out);
        Assert.That(run.Error, Does.Contain("read-only"));
        Assert.That(Tool.Run("describe", model, "-o", output).ExitCode, Is.EqualTo(2));
        Assert.That(Tool.Left(directory, "in.onnx", "out.onnx"), Is.Empty);
    }

    // A rename would put a regular file in the place of a device, which an administrator is allowed to do.
    [TestCase("/dev/null")]
    [TestCase("/dev/full")]
    [TestCase("/dev/stdout")]
    public void A_device_is_no_output(string device)
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run("rescale", new DenseModel().Save(directory["in.onnx"]), "-o", device);
        Assert.That(run.ExitCode, Is.EqualTo(2), run.Out);
        Assert.That(run.Error, Does.Contain(device));
        Assert.That(File.Exists(device) && !new FileInfo("/dev/null").Attributes.HasFlag(FileAttributes.Directory));
    }

    [Test]
    public void A_link_or_another_name_of_the_input_is_replaced_and_the_input_stays()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        byte[] before = File.ReadAllBytes(model);
        File.CreateSymbolicLink(directory["soft.onnx"], "in.onnx");
        Assert.That(Link(model, directory["hard.onnx"]), Is.Zero);
        foreach (string name in (string[])["soft.onnx", "hard.onnx"])
        {
            Assert.That(Tool.Run("rescale", model, "-o", directory[name]).ExitCode, Is.Zero);
            Assert.That(new FileInfo(directory[name]).LinkTarget, Is.Null);
            Assert.That(File.ReadAllBytes(model), Is.EqualTo(before), name);
            Assert.That(Tool.Run("verify", model, directory[name]).ExitCode, Is.Zero);
        }

        Assert.That(Tool.Left(directory, "in.onnx", "soft.onnx", "hard.onnx"), Is.Empty);
    }

    [Test]
    public void Two_runs_on_one_file_leave_one_whole_output()
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["m.onnx"]);
        File.Copy(model, directory["copy.onnx"]);
        var runs = Enumerable.Range(1, 3).Select(p => Start(["rescale", model, "-o", model, "--norm", $"{p}"])).ToList().ConvertAll(Finish);
        Assert.Multiple(() =>
        {
            Assert.That(runs.Select(r => r.ExitCode), Is.All.Zero, string.Join("\n", runs.Select(r => r.Error)));
            Assert.That(Tool.Run("verify", directory["copy.onnx"], model).ExitCode, Is.Zero);
            Assert.That(Tool.Left(directory, "m.onnx", "copy.onnx"), Is.Empty);
        });
    }

    // The weights of the first layer lie in the model and those of the second in its data file: they belong together. Each norm has other factors.
    [Test]
    public void Two_runs_on_a_model_of_two_files_do_not_mix_them()
    {
        using var directory = new TemporaryDirectory();
        float[] w = DenseModel.Values(1, 64), v = DenseModel.Values(2, 64);
        var model = new OnnxModelWriter().Input("x", -1, 8).Output("y", -1, 8).Floats("w", [8, 8], w);
        model.Child(5, model.External("v", 1, [8, 8], ("location", "m.onnx.data")));
        model.Node("MatMul", ["x", "w"], ["h"]).Node("Relu", ["h"], ["a"]).Node("MatMul", ["a", "v"], ["y"]);
        foreach (string folder in (string[])["copy", "used"])
        {
            Directory.CreateDirectory(directory[folder]);
            model.Save(Path.Combine(directory[folder], "m.onnx"));
            File.WriteAllBytes(Path.Combine(directory[folder], "m.onnx.data"), MemoryMarshal.AsBytes(v.AsSpan()).ToArray());
        }

        string used = Path.Combine(directory["used"], "m.onnx");
        var runs = Enumerable.Range(1, 4).Select(p => Start(["rescale", used, "-o", used, "--norm", $"{p}"])).ToList().ConvertAll(Finish);
        Assert.Multiple(() =>
        {
            Assert.That(runs.Select(r => r.ExitCode), Is.All.AnyOf(0, 2).And.Some.Zero, string.Join("\n", runs.Select(r => r.Error)));
            Assert.That(Tool.Run("verify", Path.Combine(directory["copy"], "m.onnx"), used).ExitCode, Is.Zero, string.Join("\n", runs.Select(r => r.Error)));
            Assert.That(Directory.GetFiles(directory["used"]), Has.Length.EqualTo(2));
        });
    }

    // Two layers of 16 MB, so that writing takes a while: as ONNX, and as safetensors with a description.
    private static string[] SaveWide(TemporaryDirectory directory)
    {
        float[] values = DenseModel.Values(3, Wide * Wide);
        byte[] bytes = MemoryMarshal.AsBytes(values.AsSpan()).ToArray();
        new OnnxModelWriter().Input("x", -1, Wide).Output("y", -1, Wide).Floats("w", [Wide, Wide], values).Floats("v", [Wide, Wide], values)
            .Node("Gemm", ["x", "w"], ["h"], ("transB", 1L)).Node("Relu", ["h"], ["a"]).Node("Gemm", ["a", "v"], ["y"], ("transB", 1L)).Save(directory["in.onnx"]);
        new SafetensorsBuilder().Add("w", "F32", [Wide, Wide], bytes).Add("v", "F32", [Wide, Wide], bytes).Save(directory["in.safetensors"]);
        Assert.That(Tool.Run("describe", directory["in.onnx"], "-o", directory["net.json"]).ExitCode, Is.Zero);
        return ["in.onnx", "in.safetensors", "net.json"];
    }

    private static string[] Network(TemporaryDirectory directory, string input) =>
        input.EndsWith(".safetensors", StringComparison.Ordinal) ? ["--network", directory["net.json"]] : [];

    private static Process Start(string[] args, string prepare = "")
    {
        var start = new ProcessStartInfo("bash") { RedirectStandardOutput = true, RedirectStandardError = true };
        string dotnet = Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") ?? "dotnet";
        foreach (string arg in (string[])["-c", $"{prepare} exec \"$@\"", "bash", dotnet, typeof(CommandLine).Assembly.Location, .. args])
        {
            start.ArgumentList.Add(arg);
        }

        // The runtime keeps code in a file of its own otherwise, for which a limit on files counts, too.
        start.Environment["DOTNET_EnableWriteXorExecute"] = "0";
        return Process.Start(start)!;
    }

    private static ToolRun Finish(Process process)
    {
        using (process)
        {
            var error = process.StandardError.ReadToEndAsync();
            string output = process.StandardOutput.ReadToEnd();
            process.WaitForExit();
            return new ToolRun(process.ExitCode, output, error.Result);
        }
    }

    private static bool WaitFor(Process process, Func<bool> condition)
    {
        while (!process.HasExited)
        {
            if (condition())
            {
                return true;
            }
        }

        return false;
    }

    private static long Length(string file) => new FileInfo(file) is { Exists: true } info ? info.Length : 0;

    private static void Send(Process process, string signal)
    {
        using var kill = Process.Start("bash", ["-c", string.Create(CultureInfo.InvariantCulture, $"kill -{signal} {process.Id} 2> /dev/null")]);
        kill.WaitForExit();
    }

    private static int Link(string from, string to)
    {
        using var link = Process.Start("ln", [from, to]);
        link.WaitForExit();
        return link.ExitCode;
    }
}
