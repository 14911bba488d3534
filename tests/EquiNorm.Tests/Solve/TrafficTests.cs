using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Bench;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;
using EquiNorm.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>
/// Bytes of elements and of stored energies that a step, a solve and an apply read and write, exactly and on any machine, as the passes
/// count them: another pass over a weight shows here if it counts itself. |W| is the bytes of all weights; energies are float64.
/// </summary>
public class TrafficTests
{
    [Test]
    public void A_step_reads_the_weights_for_the_sums_and_reads_and_writes_them_to_apply(
        [Values("15x500", "conv-net", "resnet18", "mobilenet_v2")] string name,
        [Values(ElementType.Float32, ElementType.Float16)] ElementType type,
        [Values] bool momentum)
    {
        using var bound = new BoundNetwork(name, type);
        var moments = momentum ? bound.BindMomentum() : 0;
        using var backend = new CpuBackend(2);
        using var stepper = new RescalingStepper(new RescalingProblem(bound.Network), bound.Tensors, backend);
        for (var n = 0; n < 2; n++)
        {
            var before = Counts(backend);
            stepper.Step();

            // A depthwise weight keeps an energy for each channel, for its closed form.
            Assert.That(
                Since(before, backend),
                Is.EqualTo((2 * bound.Bytes + moments, bound.Bytes + moments + DiagonalEnergies(bound.Network))), $"step {n}");
        }
    }

    [Test]
    public void Several_sweeps_in_a_step_read_the_stored_energies_instead_of_the_weights()
    {
        using var bound = new BoundNetwork("conv-net", ElementType.Float32);
        using var backend = new CpuBackend(2);
        using var stepper = new RescalingStepper(new(bound.Network), bound.Tensors, backend, new StepOptions { Sweeps = 3 });

        stepper.Step();

        // The first layer and the last have sums over pinned channels alone to give, which stay as they are.
        var (stored, others) = Energies(bound.Network.Weights);
        var (pinned, otherPinned) = Energies([bound.Network.Weights[0], bound.Network.Weights[^1]]);
        Assert.That(
            Since(default, backend),
            Is.EqualTo((2 * bound.Bytes + 2 * (stored + others - pinned - otherPinned), bound.Bytes + stored)));
    }

    [TestCase("15x500", ElementType.Float32)]
    [TestCase("conv-net", ElementType.Float32)]
    [TestCase("resnet18", ElementType.Float32)]
    [TestCase("mobilenet_v2", ElementType.Float32)]
    [TestCase("15x500", ElementType.Float16)]
    [TestCase("conv-net", ElementType.Float16)]
    [TestCase("mobilenet_v2", ElementType.Float16)]
    public void A_load_reads_the_weights_once_and_writes_the_energies_that_are_smaller(string name, ElementType type)
    {
        using var bound = new BoundNetwork(name, type);
        using var backend = new CpuBackend(2);
        using var state = backend.CreateState(RescalingPlan.Create(new RescalingProblem(bound.Network)), bound.Tensors);

        state.Load(new double[bound.Network.ChannelCount], EnergyUse.Keep);

        Assert.That(Since(default, backend), Is.EqualTo((bound.Bytes, Energies(bound.Network.Weights).Stored)));
    }

    [TestCase("15x500")]
    [TestCase("100x64")]
    public void A_solve_of_dense_layers_reads_them_as_often_as_its_sweeps_say(string name)
    {
        using var bound = new BoundNetwork(name, ElementType.Float32);
        using var backend = new CpuBackend(2);

        var result = RescalingSolver.Solve(new RescalingProblem(bound.Network), bound.Tensors, backend: backend);

        // The first read counts as half a sweep, as it brings all sums.
        Assert.That(Since(default, backend), Is.EqualTo(((long)Math.Round(2 * result.Sweeps * bound.Bytes), 0L)));
    }

    /// <summary>Read: the weights once, and energies of 8 bytes where they are stored, weights where they are not, as sweeps and certificate ask.</summary>
    [TestCase("15x500", ElementType.Float32, 76_164_000)]
    [TestCase("conv-net", ElementType.Float32, 21_014_528)]
    [TestCase("resnet18", ElementType.Float32, 101_798_656)]
    [TestCase("mobilenet_v2", ElementType.Float32, 75_855_616)]
    [TestCase("15x500", ElementType.Float16, 38_082_000)]
    [TestCase("conv-net", ElementType.Float16, 14_963_712)]
    [TestCase("mobilenet_v2", ElementType.Float16, 38_156_160)]
    public void A_solve_reads_as_many_bytes_as_it_did(string name, ElementType type, long read)
    {
        using var bound = new BoundNetwork(name, type);
        using var backend = new CpuBackend(2);

        var result = RescalingSolver.Solve(new RescalingProblem(bound.Network), bound.Tensors, backend: backend);

        Assert.That(result.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(Since(default, backend), Is.EqualTo((read, Energies(bound.Network.Weights).Stored)));
    }

    [Test]
    public void Applying_reads_and_writes_everything_once(
        [Values("15x500", "conv-net", "resnet18", "mobilenet_v2")] string name,
        [Values(ElementType.Float32, ElementType.Float16)] ElementType type)
    {
        using var bound = new BoundNetwork(name, type);
        using var backend = new CpuBackend(2);
        RescalingSolver.Apply(Scalings.Identity(bound.Network), bound.Tensors, backend);
        Assert.That(Since(default, backend), Is.EqualTo((bound.Bytes, bound.Bytes)), "all at once");

        var before = Counts(backend);
        foreach (var weight in bound.Network.Weights)
        {
            var memory = bound.Tensors[weight.Index];
            backend.CreateScaler(Scalings.Identity(bound.Network), weight).Apply(memory, memory);
        }

        Assert.That(Since(before, backend), Is.EqualTo((bound.Bytes, bound.Bytes)), "one by one");
    }

    /// <summary>The exceptions from one read for the sums.</summary>
    [Test]
    public void Float64_is_read_twice_for_its_range_and_a_weight_between_several_groups_once_for_each_axis()
    {
        using var wide = new BoundNetwork("100x64", ElementType.Float64);
        using var backend = new CpuBackend(2);
        using (var stepper = new RescalingStepper(new(wide.Network), wide.Tensors, backend))
        {
            stepper.Step();
            Assert.That(Since(default, backend), Is.EqualTo((3 * wide.Bytes, wide.Bytes)), "float64");
        }

        var builder = new NetworkBuilder();
        var input = builder.Input("x", 10);
        var left = builder.Weight(new("left", ElementType.Float32, WeightLayout.Dense(40, 10)), input);
        var right = builder.Weight(new("right", ElementType.Float32, WeightLayout.Dense(30, 10)), input);
        builder.Output(builder.Weight(new("both", ElementType.Float32, WeightLayout.Dense(20, 70)), builder.Concat(left, right)));
        using var joined = new BoundNetwork(builder.Build());
        using (var stepper = new RescalingStepper(new(joined.Network), joined.Tensors, backend))
        {
            var before = Counts(backend);
            stepper.Step();
            Assert.That(Since(before, backend), Is.EqualTo((2 * joined.Bytes + 20 * 70 * 4, joined.Bytes)), "concatenated");
        }
    }

    private static (long Read, long Written) Counts(CpuBackend backend) => (backend.Traffic.BytesRead, backend.Traffic.BytesWritten);

    private static (long Read, long Written) Since((long Read, long Written) before, CpuBackend backend) =>
        (backend.Traffic.BytesRead - before.Read, backend.Traffic.BytesWritten - before.Written);

    private static long DiagonalEnergies(Network network) => network.Weights.Where(w => w.Layout.IsDiagonal).Sum(w => w.Layout.Edges * sizeof(double));

    // Bytes of the energies that are stored, and of the weights whose energies are not: where they are no smaller.
    private static (long Stored, long Others) Energies(IEnumerable<Weight> weights)
    {
        var stored = weights.ToLookup(w => w.Layout.IsDiagonal || w.Layout.Kernel * w.ElementType.ByteSize() > sizeof(double));
        return (stored[true].Sum(w => w.Layout.Edges * sizeof(double)), stored[false].Sum(w => w.Layout.Elements * w.ElementType.ByteSize()));
    }

    /// <summary>A network of the benchmarks with elements of some type, or any network with random ones.</summary>
    private sealed class BoundNetwork : IDisposable
    {
        public BoundNetwork(string name, ElementType type)
            : this(StandardNetworks.Shape(name, type), StandardNetworks.Create(name).Elements)
        {
        }

        public BoundNetwork(Network network)
            : this(network, Random(network))
        {
        }

        private BoundNetwork(Network network, float[][] elements)
        {
            Network = network;
            Tensors = new NetworkTensors(network);
            foreach (var weight in network.Weights)
            {
                var own = elements[weight.Index];
                _ = weight.ElementType switch
                {
                    ElementType.Float32 => Tensors.Bind(weight.Name, own),
                    ElementType.Float64 => Tensors.Bind(weight.Name, Array.ConvertAll(own, w => (double)w)),
                    _ => Tensors.Bind(weight.Name, Array.ConvertAll(own, w => (Half)w)),
                };
            }
        }

        public Network Network { get; }

        public NetworkTensors Tensors { get; }

        public long Bytes => Network.Weights.Sum(w => w.Layout.Elements * w.ElementType.ByteSize());

        /// <summary>A float32 first moment for every weight.</summary>
        /// <returns>Their bytes.</returns>
        public long BindMomentum()
        {
            foreach (var weight in Network.Weights)
            {
                Tensors.BindCompanion(weight.Name, CompanionKind.FirstMoment, new float[weight.Layout.Elements]);
            }

            return Network.Weights.Sum(w => w.Layout.Elements * sizeof(float));
        }

        public void Dispose() => Tensors.Dispose();

        private static float[][] Random(Network network)
        {
            var random = new Random(1);
            return [.. network.Weights.Select(w => Enumerable.Range(0, (int)w.Layout.Elements).Select(_ => random.NextSingle() + 0.1f).ToArray())];
        }
    }
}
