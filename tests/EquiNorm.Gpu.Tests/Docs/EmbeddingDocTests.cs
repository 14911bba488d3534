// docs/embedding.md against the compiler: every C# block of it stands below, between the comments "doc" and "end".
using System.Text.RegularExpressions;
using EquiNorm.Backends;
using EquiNorm.Description;
using EquiNorm.Embedding;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Docs;

internal sealed partial class EmbeddingDocTests
{
    private static readonly string Root = FindRoot();

    [Test]
    public void Each_block_of_the_document_is_one_below()
    {
        var document = File.ReadAllText(Path.Combine(Root, "docs/embedding.md")).ReplaceLineEndings("\n");
        var source = File.ReadAllText(Path.Combine(Root, "tests/EquiNorm.Gpu.Tests/Docs/EmbeddingDocTests.cs")).ReplaceLineEndings("\n");
        var blocks = DocumentBlock().Matches(document).Select(m => m.Groups["code"].Value.Trim());
        var snippets = SourceBlock().Matches(source)
            .Select(m => string.Join('\n', m.Groups["code"].Value.Split('\n').Select(l => l.Length > 8 ? l[8..] : "")).Trim());
        Assert.That(snippets, Is.EquivalentTo(blocks));
    }

    [Test]
    public void Every_path_that_it_links_exists()
    {
        var document = File.ReadAllText(Path.Combine(Root, "docs/embedding.md"));
        var links = Link().Matches(document).Select(m => m.Groups["path"].Value);
        Assert.That(links.Where(l => !Path.Exists(Path.Combine(Root, "docs", l))), Is.Empty);
    }

    [Test]
    public void The_first_example_rescales_and_keeps_the_function()
    {
        var random = new Random(TestSeeds.Of("doc", 0));
        float[] Draw(int count) => [.. Enumerable.Range(0, count).Select(_ => (float)random.Normal())];
        float[] weight1 = Draw(64 * 20), bias1 = Draw(64), weight2 = Draw(10 * 64), bias2 = Draw(10), momentum1 = Draw(64 * 20), momentum2 = Draw(10 * 64);
        var point = Draw(20);
        var before = Evaluate(point, weight1, bias1, weight2, bias2);
        var old = (float[])weight1.Clone();

        // doc
        var builder = new NetworkBuilder();
        ChannelAxis input = builder.Input("features", 20);
        ChannelAxis hidden = builder.Weight(new("fc1.weight", ElementType.Float32, WeightLayout.Dense(64, 20)), input);
        builder.Bias("fc1.bias", ElementType.Float32, hidden);
        ChannelAxis output = builder.Weight(new("fc2.weight", ElementType.Float32, WeightLayout.Dense(10, 64)), hidden);
        builder.Bias("fc2.bias", ElementType.Float32, output);
        builder.Output(output);

        using var session = new RescalingSession(new RescalingProblem(builder.Build()) { Norm = 2 });
        session.Bind("fc1.weight", weight1);
        session.Bind("fc1.bias", bias1);
        session.Bind("fc2.weight", weight2);
        session.Bind("fc2.bias", bias2);
        session.BindCompanion("fc1.weight", CompanionKind.FirstMoment, momentum1);
        session.BindCompanion("fc2.weight", CompanionKind.FirstMoment, momentum2);

        // In the loop, behind the optimizer:
        session.Step();

        // end
        Assert.That(weight1, Is.Not.EqualTo(old));
        Assert.That(Evaluate(point, weight1, bias1, weight2, bias2), Is.EqualTo(before).Within(1e-4));
    }

    [Test]
    public void A_network_of_a_file()
    {
        using var directory = new TemporaryDirectory();
        var path = directory["net.json"];
        using (var file = File.Create(path))
        {
            NetworkDescription.Write(RandomNetworks.Create("residual", 1, new SketchOptions { OutputScale = 0 }).Network, file);
        }

        // doc
        Network network = NetworkDescription.Parse(File.ReadAllBytes(path));
        foreach (ChannelGroup group in network.Groups.Where(g => g.IsPinned))
        {
            Console.WriteLine($"{group.Name} is left alone: {group.PinnedBecause}");
        }

        // end
        Assert.That(network.Groups.Any(g => g.IsPinned));
    }

    [Test]
    public void Tensors_by_pointer()
    {
        using var session = new RescalingSession(TwoLayers());
        using var memory = new AlignedBytes(4 * 64 * 20);
        using var copy = new AlignedBytes(8 * 64 * 32);
        var (address, masterCopy) = (memory.Address, copy.Address);

        // doc
        session.Bind("fc1.weight", new TensorView(address, ElementType.Float32, 64, 20));
        session.BindCompanion("fc1.weight", CompanionKind.Copy, new TensorView(masterCopy, ElementType.Float64, 64, 20) { Strides = [32, 1] });

        // end
        Assert.That(() => session.Step(), Throws.TypeOf<TensorException>().With.Message.Contains("fc2.weight"));
    }

    [Test]
    public void A_given_workspace_and_a_solve()
    {
        using var queue = new MachineQueue();
        using var backend = new GpuBackend(queue, TensorLocation.Device);
        using var session = new RescalingSession(TwoLayers(), backend);
        using var device = new DeviceTensorSet(queue);
        var tensors = new[] { new TestTensor("fc1.weight", ElementType.Float32, 64 * 20), new TestTensor("fc2.weight", ElementType.Float32, 10 * 64) };
        foreach (var (tensor, shape) in tensors.Zip([(long[])[64, 20], [10, 64]]))
        {
            for (var e = 0; e < tensor.Length; e++)
            {
                tensor[e] = Math.Sin(e);
            }

            session.Bind(tensor.Name, device.View(tensor, shape));
        }

        nint Allocate(long bytes) => (nint)queue.Allocate(bytes).Address;

        // doc
        long bytes = session.MeasureWorkspace();
        session.UseWorkspace(Allocate(bytes), bytes);

        // end
        // doc
        RescalingResult result = session.Solve(new RescalingOptions { Tolerance = 1e-8 });
        if (result.Scalings is not null)
        {
            session.Apply();
        }

        // end
        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        session.Step();
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));
        Assert.That(session.ReadReport().Residual, Is.LessThan(1e-3), "nothing is left to do");
    }

    // Needs a GPU to run; without one, the compiler is the test.
    internal static void OnADevice(int device, nint stream, RescalingProblem problem, nint address1, nint address2)
    {
        // doc
        using var backend = new GpuBackend(CudaQueue.OnStream(device, stream), TensorLocation.Device, ownsQueue: true);
        using var session = new RescalingSession(problem, backend);
        session.Bind("fc1.weight", new TensorView(address1, ElementType.Float32, 64, 20) { Device = TensorDevice.Cuda(device) });
        session.Bind("fc2.weight", new TensorView(address2, ElementType.Float32, 10, 64) { Device = TensorDevice.Cuda(device) });
        session.Step(stream);

        // end
    }

    internal static void InAGraph(CudaQueue queue, RescalingSession session, nint stream)
    {
        // doc
        session.Prepare(stream);
        using CudaGraph graph = queue.Capture(() => session.Step(stream));
        graph.Launch();

        // end
    }

    private static RescalingProblem TwoLayers()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("fc1.weight", ElementType.Float32, WeightLayout.Dense(64, 20)), builder.Input("x", 20));
        builder.Output(builder.Weight(new("fc2.weight", ElementType.Float32, WeightLayout.Dense(10, 64)), hidden));
        return new RescalingProblem(builder.Build());
    }

    private static double[] Evaluate(float[] point, float[] weight1, float[] bias1, float[] weight2, float[] bias2)
    {
        var hidden = bias1.Select((b, o) => Math.Max(0, b + point.Select((x, i) => (double)x * weight1[o * point.Length + i]).Sum())).ToArray();
        return [.. bias2.Select((b, o) => b + hidden.Select((x, i) => x * weight2[o * hidden.Length + i]).Sum())];
    }

    private static string FindRoot()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder!.FullName, "EquiNorm.Gpu.sln")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }

    [GeneratedRegex("```csharp\n(?<code>.*?)```", RegexOptions.Singleline)]
    private static partial Regex DocumentBlock();

    [GeneratedRegex("        // doc\n(?<code>.*?)        // end\n", RegexOptions.Singleline)]
    private static partial Regex SourceBlock();

    [GeneratedRegex(@"\]\((?!https?:)(?<path>[^)#]+)\)")]
    private static partial Regex Link();
}
