using System.Text.RegularExpressions;
using EquiNorm.Gpu.Bench.Check;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Tests;

/// <summary>gpucheck on the PTX machine: it passes what is right, and fails what is not.</summary>
public sealed partial class CheckTests
{
    [TestCase("dense chain")]
    [TestCase("residual")]
    [TestCase("scaling BFloat16")]
    [TestCase("misaligned Float32")]
    [TestCase("not finite")]
    [TestCase("graph replay")]
    [TestCase("260 layers")]
    public void A_group_passes_on_the_machine(string group)
    {
        // A fixed seed: the tolerances of gpucheck were chosen from what some hundred networks showed, so a fresh one may lie outside.
        var (exit, lines) = Run("--machine", "--draws", "2", "--only", group, "--seed", "20");
        Assert.Multiple(() =>
        {
            // Graphs are the driver's: on the machine that group has nothing to count.
            Assert.That(exit, Is.EqualTo(group == "graph replay" ? Exit.Failed : Exit.Success), string.Join("\n", lines));
            Assert.That(lines[^1], Does.Match(group == "graph replay" ? "^0 passed, 0 failed$" : "^[1-9][0-9]* passed, 0 failed$"));
        });
    }

    [TestCase("dense chain")]
    [TestCase("scaling Float32")]
    [TestCase("misaligned Float16")]
    public void A_device_that_computes_something_else_fails(string group)
    {
        using var machine = CheckDevice.OfMachine();
        using var device = new CheckDevice("a liar", CheckScale.Small, () => new LyingQueue(machine.Open()));
        using var output = new StringWriter();
        var groups = new CheckPlan(device, TestSeeds.Run, draws: 1).Groups().Where(g => g.Name == group);
        Assert.That(CheckCommand.Run(device, groups, output), Is.EqualTo(Exit.Failed));
        Assert.That(output.ToString(), Does.Contain("FAILED"));
        Assert.That(LastLine().Match(output.ToString().TrimEnd().Split('\n')[^1]).Groups["failed"].Value, Is.Not.EqualTo("0"));
    }

    [Test]
    public void What_a_check_throws_is_a_failure_of_its_group_alone()
    {
        using var device = CheckDevice.OfMachine();
        using var output = new StringWriter();
        (string, Action<CheckGroup>)[] groups =
            [("throws", _ => throw new InvalidOperationException("no such thing")), ("passes", g => g.That(true, ""))];
        Assert.That(CheckCommand.Run(device, groups, output), Is.EqualTo(Exit.Failed));
        Assert.That(output.ToString(), Does.Contain("no such thing").And.EndsWith($"1 passed, 1 failed{Environment.NewLine}"));
    }

    [Test]
    public void The_plan_has_every_family_and_every_type()
    {
        using var device = CheckDevice.OfMachine();
        var names = new CheckPlan(device, 1, 1).Groups().Select(g => g.Name).ToList();
        Assert.That(names, Is.Unique.And.SupersetOf(RandomNetworks.Families));
        Assert.That(names.Count(n => n.StartsWith("scaling ", StringComparison.Ordinal)), Is.EqualTo(4));
    }

    [TestCase("--seed")]
    [TestCase("--seed x")]
    [TestCase("--nonsense")]
    [TestCase("--draws -1")]
    public void A_wrong_command_line_is_refused(string line) =>
        Assert.That(() => CheckCommand.Run(line.Split(' '), TextWriter.Null), Throws.TypeOf<UsageException>().With.Message.Contains("gpucheck ["));

    private static (int Exit, string[] Lines) Run(params string[] args)
    {
        using var output = new StringWriter();
        var exit = CheckCommand.Run(args, output);
        return (exit, output.ToString().TrimEnd().ReplaceLineEndings("\n").Split('\n'));
    }

    [GeneratedRegex(@"^\d+ passed, (?<failed>\d+) failed\s*$")]
    private static partial Regex LastLine();

    // Scaling is what it leaves out: a lie in a sum would send the solver to its sweep limit, for minutes.
    private sealed class LyingQueue(IDeviceQueue inner) : IDeviceQueue
    {
        public string Name => inner.Name;

        public QueueCounters Counters => inner.Counters;

        public DeviceMemory Allocate(long bytes) => inner.Allocate(bytes);

        public void Free(DeviceMemory memory) => inner.Free(memory);

        public void Upload(ReadOnlySpan<byte> source, ulong destination) => inner.Upload(source, destination);

        public void Download(ulong source, Span<byte> destination) => inner.Download(source, destination);

        public void Clear(ulong destination, long bytes) => inner.Clear(destination, bytes);

        public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
            where TArguments : unmanaged
        {
            if (!kernel.Name.StartsWith("Scale", StringComparison.Ordinal))
            {
                inner.Launch(kernel, groups, groupSize, in arguments);
            }
        }

        public void Synchronize() => inner.Synchronize();

        public void Dispose() => inner.Dispose();
    }
}
