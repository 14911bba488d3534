using System.Text.Json;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu.Bench.Measure;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Tests;

/// <summary>What gpubench does without a GPU: networks, budget, medians, reports, arguments. Its times are taken on a GPU only.</summary>
public sealed class BenchTests
{
    private static BenchReport Report => new()
    {
        Machine = new BenchMachine
        {
            Device = "Some GPU",
            ComputeCapability = "9.0",
            Multiprocessors = 132,
            MemoryBytes = 80_000_000_000,
            Cuda = "12.4",
            Processor = "Some CPU",
            Threads = 16,
            Runtime = ".NET",
            System = "Linux",
            Commit = "abc",
            Date = new DateTime(2026, 11, 22, 12, 0, 0, DateTimeKind.Utc),
        },
        Copy = new BenchCopy(2_000_000_000, 3.0e12, 4.0e12),
        ColdStart = new BenchColdStart("resnet18", 0.3, 0.1, 0.02, 0.2, 0.0001, "1"),
        Networks =
        [
            new BenchRow("full", 1_000_000_000)
            {
                Step = new BenchStep(0.0012, 0.001, 6),
                Solve = new BenchSolve(0.005, "Converged", 2.5, 1e-9, 40, 7),
                Cpu = new BenchCpu(0.05, 0.1, 2.1),
                PeerStep = 0.02,
            },
            new BenchRow("did not fit", 9_000_000_000) { Cpu = new BenchCpu(1, 2, 2.1) },
        ],
        LeftOut = [new BenchOmission("did not fit on the GPU", "too large.")],
        Peer = new BenchPeer("enorm.py", "2.5", "Some GPU"),
        Seconds = 100,
    };

    [Test]
    public void Markdown_has_the_figures_and_what_they_are_compared_with()
    {
        using var output = new StringWriter { NewLine = "\n" };
        BenchMarkdown.Write(Report, output);
        var text = output.ToString();
        Assert.Multiple(() =>
        {
            Assert.That(text, Does.Contain("Some GPU, compute capability 9.0").And.Contain("CUDA 12.4").And.Contain("2026-11-22, commit: abc"));
            Assert.That(text, Does.Contain("ceiling: 4000 GB/s"), "the faster of the two copies");

            // 3 GB in 1 ms are 3000 GB/s, 75 % of 4000.
            Assert.That(text, Does.Contain("| full | 1000.0 | 6 | 1200 | 1000 | 3000 | 75 % |"));
            Assert.That(text, Does.Contain("| full | 1000.0 | 5.00 | 200 | 5 % | 2.5 | 1E-09 | 40 | 7 | Converged |"));
            Assert.That(text, Does.Contain("| full | 50.0 | 1.00 | 50.0 | 100 | 5.00 | 20.0 |"));
            Assert.That(text, Does.Contain("| did not fit | 1000 | - | - | 2000 | - | - |"));
            Assert.That(text, Does.Contain("| full | 20000 | 1000 | 20.0 |"));
            Assert.That(text, Does.Contain("520 ms to the end of the first step").And.Contain("cache of compiled kernels was off"));
            Assert.That(text, Does.Contain("- did not fit on the GPU: too large.\n"));
        });
    }

    [Test]
    public void Every_table_has_as_many_cells_as_headings()
    {
        using var output = new StringWriter { NewLine = "\n" };
        BenchMarkdown.Write(Report, output);
        foreach (var table in output.ToString().Split("\n\n").Where(p => p.StartsWith('|')))
        {
            var counts = table.TrimEnd('\n').Split('\n').Select(l => l.Replace("\\|", "").Count(c => c == '|')).Distinct();
            Assert.That(counts.Count(), Is.EqualTo(1), table);
        }
    }

    [Test]
    public void Both_files_are_written_and_the_JSON_can_be_read()
    {
        using var directory = new TemporaryDirectory();
        BenchCommand.Write(Report, directory.Path, TextWriter.Null);
        Assert.That(File.ReadAllText(directory["gpubench.md"]), Does.StartWith("# Step and solve on Some GPU\n"));
        var json = JsonDocument.Parse(File.ReadAllText(directory["gpubench.json"])).RootElement;
        Assert.Multiple(() =>
        {
            Assert.That(json.GetProperty("machine").GetProperty("device").GetString(), Is.EqualTo("Some GPU"));
            Assert.That(json.GetProperty("copy").GetProperty("bytesPerSecond").GetDouble(), Is.EqualTo(4e12));
            Assert.That(json.GetProperty("networks")[0].GetProperty("step").GetProperty("graph").GetDouble(), Is.EqualTo(0.001));
            Assert.That(json.GetProperty("networks")[1].GetProperty("step").ValueKind, Is.EqualTo(JsonValueKind.Null));
            Assert.That(json.GetProperty("leftOut")[0].GetProperty("why").GetString(), Is.EqualTo("too large."));
        });
    }

    [Test]
    public void A_budget_allows_what_still_ends_in_time()
    {
        var now = TimeSpan.Zero;
        var budget = new TimeBudget(TimeSpan.FromSeconds(10), () => now);
        Assert.That(budget.Allows(9));
        now = TimeSpan.FromSeconds(8);
        Assert.That((budget.Allows(1), budget.Allows(3), budget.Left), Is.EqualTo((true, false, TimeSpan.FromSeconds(2))));
        now = TimeSpan.FromSeconds(20);
        Assert.That((budget.Allows(0), budget.Left), Is.EqualTo((false, TimeSpan.Zero)));
    }

    [Test]
    public void All_networks_fit_in_the_budget_by_their_own_estimates() =>
        Assert.That(BenchNetworks.All.Sum(n => n.Seconds), Is.LessThan(240));

    [Test]
    public void A_median_is_the_middle()
    {
        Assert.That(Samples.MedianOf([3, 1, 2]), Is.EqualTo(2));
        Assert.That(Samples.MedianOf([4, 1, 2, 3]), Is.EqualTo(2.5));
        var calls = 0;
        Assert.That(new Samples(7, 1000).Median(() => ++calls), Is.EqualTo(4));
        calls = 0;
        _ = new Samples(1000, 0).Median(() => ++calls);
        Assert.That(calls, Is.EqualTo(3), "three samples, whatever they take");
    }

    [TestCase("resnet18", 46_758_400)]
    [TestCase("mlp-12x1664", 1_064_000_000)]
    [TestCase("mlp-12x4608", 8_155_000_000)]
    public void A_network_has_the_size_that_its_name_promises(string name, long bytes) =>
        Assert.That(BenchNetworks.All.Single(n => n.Name == name).Bytes, Is.EqualTo((double)bytes).Within(0.2).Percent);

    [Test]
    public void Repeated_elements_fill_a_network_that_can_be_solved()
    {
        var network = BenchNetworks.MlpStack(24, blocks: 3);
        using var weights = new HostWeights(network, new RepeatedBlock(1));
        using var again = new HostWeights(network, new RepeatedBlock(1));
        using var backend = new CpuBackend(1);
        var problem = new RescalingProblem(network);
        var result = RescalingSolver.Solve(problem, weights.Tensors, backend: backend);
        var other = RescalingSolver.Solve(problem, again.Tensors, backend: backend);
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(result.Objective, Is.LessThan(result.ObjectiveBefore));
        Assert.That(other.Objective, Is.EqualTo(result.Objective), "the same elements each time");
    }

    [Test]
    public void A_block_goes_on_where_it_ended()
    {
        var network = BenchNetworks.MlpStack(512, blocks: 2);
        var block = new RepeatedBlock(1);
        foreach (var weight in network.Weights)
        {
            long total = 0;
            ElementCopy.Fill(weight, block, (offset, part) =>
            {
                Assert.That(offset, Is.EqualTo(total));
                Assert.That(part.Length, Is.Positive);
                total += part.Length;
            });
            Assert.That(total, Is.EqualTo(weight.Layout.Elements * sizeof(float)));
        }
    }

    [TestCase("--dry-run", "mlp-12x4608")]
    [TestCase("--dry-run --quick", "resnet18")]
    [TestCase("--dry-run --peer enorm.py", "reference implementation, by python3 with torch: 100x64, 15x500")]
    public void A_dry_run_lists_what_would_be_run(string line, string expected)
    {
        using var output = new StringWriter();
        Assert.That(BenchCommand.Run(line.Split(' '), output), Is.Zero);
        Assert.That(output.ToString(), Does.Contain(expected).And.Contain("the ceiling"));
        Assert.That(output.ToString().Contains("vgg16"), Is.EqualTo(!line.Contains("--quick")));
    }

    [TestCase("--out")]
    [TestCase("--peer no-such-file.py")]
    [TestCase("more")]
    public void A_wrong_command_line_is_refused(string line) =>
        Assert.That(() => BenchCommand.Run(line.Split(' '), TextWriter.Null), Throws.TypeOf<UsageException>());

    [Test]
    public void The_answer_of_the_reference_implementation_is_read()
    {
        const string output = """
            a warning of some library
            {"torch": "2.5", "device": "Some GPU", "networks": [{"name": "a", "microseconds": 1500.0, "steps": 30}, {"name": "b", "error": "RuntimeError: no"}]}
            """;
        var answer = Peer.Read("enorm.py", (output, null));
        Assert.That(answer.Peer, Is.EqualTo(new BenchPeer("enorm.py", "2.5", "Some GPU")));
        Assert.That(answer.Steps["a"], Is.EqualTo(0.0015).Within(1e-12));
        Assert.That(answer.LeftOut.Single().Why, Does.Contain("RuntimeError"));
        Assert.That(Peer.Read("enorm.py", ("", "No module named torch")).LeftOut.Single().Why, Is.EqualTo("No module named torch"));
        Assert.That(Peer.Read("enorm.py", ("""{"error": "RuntimeError: torch sees no CUDA device"}""", null)).LeftOut.Single().Why, Does.Contain("no CUDA device"));
    }

    [Test]
    public void A_device_that_cannot_be_used_is_refused_with_the_reason()
    {
        var old = new CudaDevice(0, "Old", 1, new Version(7, 0), 1, "too old.");
        var good = new CudaDevice(1, "Good", 1, new Version(9, 0), 1, null);
        var list = new CudaDeviceList([old, good], new Version(12, 4), null);
        Assert.That(Devices.Find(list, null, out var device, out _), Is.True);
        Assert.That(device, Is.SameAs(good));
        Assert.That((Devices.Find(list, 0, out _, out var reason), reason), Is.EqualTo((false, "cuda:0 Old cannot be used: too old.")));
        Assert.That((Devices.Find(list, 2, out _, out reason), reason), Is.EqualTo((false, "there is no device 2.")));
        Assert.That((Devices.Find(new CudaDeviceList([], null, "no CUDA driver"), null, out _, out reason), reason), Is.EqualTo((false, "no CUDA driver.")));
    }
}
