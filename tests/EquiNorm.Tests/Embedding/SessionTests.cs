using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Embedding;

/// <summary>A session is what the stepper and the solver are, on tensors bound by name.</summary>
public class SessionTests
{
    private static readonly SketchOptions Plain = new() { OutputScale = 0 };

    [Test]
    public void A_step_is_the_steppers([ValueSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))] string family)
    {
        // The first draw whose weights all have a framework's shape: a view with gaps between its groups has none.
        var network = Enumerable.Range(1200, 100).Select(n => RandomNetworks.Create(family, TestSeeds.Of(family, n), Plain))
            .First(n => n.Network.Weights.All(w => HasShape(w.Layout)));
        var twin = network.Clone();
        var problem = new RescalingProblem(network.Network);
        using var session = new RescalingSession(problem);
        using var pins = network.Bind();
        Bind(session, network.Network, pins);
        using var twinTensors = twin.Bind();
        using var stepper = new RescalingStepper(problem, twinTensors);

        for (var n = 0; n < 3; n++)
        {
            Assert.That(session.Step(), Is.True);
            var expected = stepper.Step();
            Assert.That(session.ReadReport(), Is.EqualTo(expected), TestSeeds.Repeat);
            Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.EqualTo(stepper.ReadScalings().LogFactors.ToArray()), TestSeeds.Repeat);
        }

        foreach (var tensor in network.Tensors)
        {
            Assert.That(tensor.ToArray(), Is.EqualTo(twin[tensor.Name].ToArray()), $"{tensor.Name}, {TestSeeds.Repeat}");
        }
    }

    [Test]
    public void Several_sweeps_are_several_steps_applied_once([Values(2, 5)] int sweeps)
    {
        var seed = TestSeeds.Of("sweeps", sweeps);
        var network = RandomNetworks.Create("residual", seed, Plain with { Strided = 0 });
        var twin = network.Clone();
        var problem = new RescalingProblem(network.Network);
        using var session = new RescalingSession(problem, options: new SessionOptions { Step = new StepOptions { Sweeps = sweeps } });
        using var pins = network.Bind();
        Bind(session, network.Network, pins);
        using var twinTensors = twin.Bind();
        using var stepper = new RescalingStepper(problem, twinTensors);

        session.Step();
        var total = new double[network.Network.ChannelCount];
        for (var n = 0; n < sweeps; n++)
        {
            stepper.Step();
            foreach (var (c, u) in stepper.ReadScalings().LogFactors.ToArray().Index())
            {
                total[c] += u;
            }
        }

        Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.EqualTo(total).Within(1e-9), TestSeeds.Repeat);
    }

    [Test]
    public void Only_every_nth_call_does_something()
    {
        var (problem, a, b) = TwoLayers();
        using var session = new RescalingSession(problem, options: new SessionOptions { Every = 3 });
        session.Bind("a", a);
        session.Bind("b", b);
        var before = (float[])a.Clone();

        Assert.That((session.Step(), session.Step()), Is.EqualTo((false, false)));
        Assert.That(a, Is.EqualTo(before));
        Assert.That(session.Step(), Is.True);
        Assert.That(a, Is.Not.EqualTo(before));
    }

    [Test]
    public void Tensors_may_move_between_steps()
    {
        var (problem, a, b) = TwoLayers();
        using var moving = new RescalingSession(problem);
        using var staying = new RescalingSession(problem);
        float[] stayingA = [.. a], stayingB = [.. b], stayingMomentum = [.. Enumerable.Repeat(1f, a.Length)];
        staying.Bind("a", stayingA);
        staying.Bind("b", stayingB);
        staying.BindCompanion("a", CompanionKind.FirstMoment, stayingMomentum);
        var momentum = (float[])stayingMomentum.Clone();
        for (var n = 0; n < 4; n++)
        {
            (a, b, momentum) = ([.. a], [.. b], [.. momentum]);
            moving.Bind("a", a);
            moving.Bind("b", b);
            moving.BindCompanion("a", CompanionKind.FirstMoment, momentum);
            moving.Step();
            staying.Step();
            Assert.That((a, b, momentum), Is.EqualTo((stayingA, stayingB, stayingMomentum)));
            a[0] = stayingA[0] = 3 - n;
        }
    }

    [Test]
    public void A_solve_is_the_solvers_and_is_applied_once()
    {
        var (problem, a, b) = TwoLayers();
        float[] expectedA = [.. a], expectedB = [.. b], before = [.. a];
        using var tensors = new NetworkTensors(problem.Network).Bind("a", expectedA).Bind("b", expectedB);
        var expected = RescalingSolver.Solve(problem, tensors);
        RescalingSolver.Apply(expected.Scalings!, tensors);
        using var session = new RescalingSession(problem);
        session.Bind("a", a);
        session.Bind("b", b);

        Assert.That(() => session.Apply(), Throws.InvalidOperationException);
        var result = session.Solve();
        Assert.That(a, Is.EqualTo(before), "a solve writes nothing");
        session.Apply();
        Assert.That((a, b), Is.EqualTo((expectedA, expectedB)));
        Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.EqualTo(expected.Scalings!.LogFactors.ToArray()));
        Assert.That(result.Objective, Is.EqualTo(expected.Objective));
        session.Apply(inverse: true);
        Assert.That(a, Is.EqualTo(before).Within(1e-6).Percent);
    }

    [Test]
    public void A_warm_solve_starts_where_the_last_one_ended()
    {
        var seed = TestSeeds.Of("warm", 0);
        var network = RandomNetworks.Chain(seed, [20, 33, 17, 40, 31, 33, 9], Plain with { Strided = 0 });
        using var pins = network.Bind();
        using var session = new RescalingSession(new RescalingProblem(network.Network));
        Bind(session, network.Network, pins);
        var cold = session.Solve(new RescalingOptions { Tolerance = 1e-12 });
        var warm = session.Solve(new RescalingOptions { Tolerance = 1e-8 });
        Assert.That(warm.Status, Is.EqualTo(RescalingStatus.Converged));
        Assert.That(warm.Objective, Is.EqualTo(cold.Objective).Within(1e-8 * cold.Objective));
        Assert.That(warm.Sweeps, Is.LessThan(cold.Sweeps / 2), TestSeeds.Repeat);

        // A channel that died since keeps factor 1, whatever it had.
        var first = network.Tensors[0];
        for (var e = 0; e < first.Length; e++)
        {
            first[e] = 0;
        }

        var dead = session.Solve();
        Assert.That(dead.Frozen, Is.Not.Empty);
        Assert.That(dead.Frozen.Select(f => dead.Scalings!.LogFactorsOf(f.Group)[f.Channel]), Is.All.Zero);
        Assert.That(dead.Status, Is.EqualTo(RescalingStatus.Converged));
        var fresh = session.Solve(start: SolveStart.Cold);
        Assert.That(dead.Objective, Is.EqualTo(fresh.Objective).Within(1e-7 * fresh.Objective), TestSeeds.Repeat);
    }

    [Test]
    public void Memory_that_is_given_is_used_and_enough([Values(1, 3)] int sweeps)
    {
        var seed = TestSeeds.Of("workspace", sweeps);
        var network = RandomNetworks.Create("mixed", seed, Plain with { Strided = 0 });
        using var pins = network.Bind();
        using var backend = new CpuBackend(2);
        using var session = new RescalingSession(
            new RescalingProblem(network.Network), backend, new SessionOptions { Step = new StepOptions { Sweeps = sweeps } });
        Bind(session, network.Network, pins);
        var bytes = session.MeasureWorkspace();
        Assert.That(bytes, Is.Positive);
        using var memory = new AlignedBytes(bytes);
        session.UseWorkspace(memory.Address, bytes);
        memory.Fill(0x7F);
        session.Step();
        Assert.That(memory.CountOtherThan(0x7F), Is.Positive);
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));
        session.UseWorkspace(0, 0);
        memory.Fill(0x7F);
        session.Step();
        Assert.That(memory.CountOtherThan(0x7F), Is.Zero);
        Assert.That(() => session.UseWorkspace(memory.Address + 8, bytes - 8), Throws.ArgumentException);
    }

    [Test]
    public void Two_threads_on_one_session_are_refused()
    {
        var (problem, a, b) = TwoLayers();
        using var slow = new SlowBackend();
        using var session = new RescalingSession(problem, slow);
        session.Bind("a", a);
        session.Bind("b", b);
        var step = Task.Run(() => session.Step());
        slow.Entered.Wait();
        Assert.Multiple(() =>
        {
            Assert.That(() => session.Step(), Throws.TypeOf<SessionBusyException>());
            Assert.That(() => session.Bind("a", b), Throws.TypeOf<SessionBusyException>());
            Assert.That(() => session.ReadReport(), Throws.TypeOf<SessionBusyException>());
            Assert.That(session.Dispose, Throws.TypeOf<SessionBusyException>());
        });
        slow.Go.Set();
        Assert.That(step.Result, Is.True);
        Assert.That(session.Step(), Is.True, "the session is free again");
    }

    [Test]
    public void Wrong_calls_say_what_is_wrong_and_leave_what_was_bound()
    {
        var (problem, a, b) = TwoLayers();
        using var session = new RescalingSession(problem);
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.NotBound), "nothing is bound");
        session.Bind("a", a);
        session.Bind("b", b);
        var before = (A: (float[])a.Clone(), B: (float[])b.Clone());
        using var memory = new AlignedBytes(1024);
        Assert.Multiple(() =>
        {
            Assert.That(Error(() => session.Bind("c", a)), Is.EqualTo(TensorError.UnknownName));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float64, 4, 3))), Is.EqualTo(TensorError.WrongType));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 3, 4))), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 4, 3, 2))), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 4, 3) with { Strides = [1, 4] })), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 4, 3) with { Strides = [3] })), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 4, 3) with { Address = 0 })), Is.EqualTo(TensorError.NotBound));
            Assert.That(Error(() => session.Bind("a", View(ElementType.Float32, 4, 3) with { Device = TensorDevice.Cuda(1) })), Is.EqualTo(TensorError.WrongDevice));
            Assert.That(Error(() => session.Bind("a", new float[5])), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(() => session.BindCompanion("a", CompanionKind.Copy, View(ElementType.Float32, 4, 3) with { Strides = [1, 1] })), Is.EqualTo(TensorError.WrongShape), "overlapping elements");
            Assert.That(Error(() => session.BindCompanion("a", CompanionKind.Copy, View(ElementType.Float32, 4, 2))), Is.EqualTo(TensorError.WrongShape));
            Assert.That(() => session.Step(stream: 1), Throws.ArgumentException);
        });
        b[1] = float.NaN;
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.NonFinite));
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.NonFinite));
        Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.All.Zero);
        b[1] = before.B[1];
        Assert.That((a, b), Is.EqualTo((before.A, before.B)));
        session.Unbind("b");
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.NotBound));
        session.Bind("b", b);
        Assert.That(session.Step(), Is.True);
        session.Dispose();
        Assert.That(() => session.Step(), Throws.TypeOf<ObjectDisposedException>());

        TensorView View(ElementType type, params long[] shape) => new(memory.Address, type, shape);
    }

    [Test]
    public void Factors_are_applied_once_to_the_weights_that_they_were_found_for()
    {
        var (problem, a, b) = TwoLayers();
        using var session = new RescalingSession(problem);
        session.Bind("a", a);
        session.Bind("b", b);
        session.Solve();
        session.Apply();
        Assert.That(() => session.Apply(), Throws.InvalidOperationException, "a second time");
        session.Apply(inverse: true);
        Assert.That(() => session.Apply(inverse: true), Throws.InvalidOperationException);
        session.Apply();
        session.Step();
        Assert.That(() => session.Apply(inverse: true), Throws.InvalidOperationException, "rescaled again since");
        session.Solve();
        session.Step();
        Assert.That(() => session.Apply(), Throws.InvalidOperationException, "rescaled since");
        session.Solve();
        session.Unbind("b");
        Assert.That(Error(() => session.Apply()), Is.EqualTo(TensorError.NotBound), "half a network");
    }

    // The second solve starts where dead channels were found by the first; in this network one more is fed only by a dead one.
    [Test]
    public void A_warm_solve_of_a_network_with_dead_channels_is_the_cold_one()
    {
        var builder = new NetworkBuilder();
        var first = builder.Weight(new("a", ElementType.Float64, WeightLayout.Dense(2, 1)), builder.Input("x", 1));
        var second = builder.Weight(new("b", ElementType.Float64, WeightLayout.Dense(3, 2)), first);
        builder.Output(builder.Weight(new("c", ElementType.Float64, WeightLayout.Dense(1, 3)), second));
        double[] a = [0, 2], b = [3, 0, 0, 5, 0, 7], c = [4, 1, 0];
        using var session = new RescalingSession(new RescalingProblem(builder.Build()));
        session.Bind("a", a);
        session.Bind("b", b);
        session.Bind("c", c);
        var cold = session.Solve();
        var warm = session.Solve();
        Assert.That((warm.Status, warm.Frozen.Count), Is.EqualTo((cold.Status, cold.Frozen.Count)));
        Assert.That(warm.Objective, Is.EqualTo(cold.Objective).Within(1e-7 * cold.Objective));
    }

    [Test]
    public void Factors_beyond_float64_are_refused_and_nothing_is_written()
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("steep", 0), [.. Enumerable.Repeat(4, 100)], Plain with { ElementTypes = [ElementType.Float32], Strided = 0, Bias = 0 });
        var before = network.Tensors.Select(t => t.ToArray()).ToArray();
        using var session = new RescalingSession(new RescalingProblem(network.Network) { Penalty = WeightPenalty.Depth(1e300) });
        using var pins = network.Bind();
        Bind(session, network.Network, pins);
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.OutOfRange));
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.OutOfRange));
        Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.All.Zero);
        Assert.That(network.Tensors.Select(t => t.ToArray()).ToArray(), Is.EqualTo(before));
    }

    [Test]
    public void Second_moments_are_refused_before_their_factors_overflow()
    {
        var (problem, a, b) = TwoLayers();
        using var session = new RescalingSession(problem with { Penalty = WeightPenalty.ByName(new Dictionary<string, double> { ["a"] = 1e-300, ["b"] = 1e300 }), Norm = 0.5 });
        session.Bind("a", a);
        session.Bind("b", b);
        session.BindCompanion("a", CompanionKind.SecondMoment, new float[12]);
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.OutOfRange));
    }

    [Test]
    public void Tensors_that_share_memory_are_refused_and_interleaved_ones_are_not()
    {
        var builder = new NetworkBuilder();
        var input = builder.Input("x", 2);
        var left = builder.Weight(new("left", ElementType.Float32, new() { Groups = 1, OutputsPerGroup = 3, InputsPerGroup = 2, Kernel = 1, GroupStride = 0, OutputStride = 4, InputStride = 1, KernelStride = 1 }), input);
        var right = builder.Weight(new("right", ElementType.Float32, new() { Groups = 1, OutputsPerGroup = 3, InputsPerGroup = 2, Kernel = 1, GroupStride = 0, OutputStride = 4, InputStride = 1, KernelStride = 1 }), input);
        builder.Output(builder.Weight(new("last", ElementType.Float32, WeightLayout.Dense(1, 6)), builder.Concat(left, right)));
        using var session = new RescalingSession(new RescalingProblem(builder.Build()));
        using var memory = new AlignedBytes(4 * 12);
        memory.Fill(0x3F);
        float[] last = [1, 2, 3, 4, 5, 6];
        session.Bind("last", last);
        session.Bind("left", View(0));
        session.Bind("right", View(0));
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.WrongShape), "twice the same");
        session.Bind("right", View(2));
        Assert.That(session.Step(), Is.True, "two halves of each row");
        session.BindCompanion("last", CompanionKind.Copy, new Memory<float>(last));
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.WrongShape), "its own copy");

        TensorView View(int column) => new(memory.Address + 4 * column, ElementType.Float32, 3, 2) { Strides = [4, 1] };
    }

    [Test]
    public void Reports_are_those_of_the_last_call()
    {
        var (problem, a, b) = TwoLayers();
        using var session = new RescalingSession(problem);
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.None), "no step yet");
        session.Bind("a", a);
        session.Bind("b", b);
        session.Step();
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.Applied));
        session.Unbind("b");
        Assert.That(Error(() => session.Step()), Is.EqualTo(TensorError.NotBound));
        Assert.That(session.ReadReport().Outcome, Is.EqualTo(StepOutcome.None), "a step that could not begin");
        Assert.That(session.ReadScalings().LogFactors.ToArray(), Is.All.Zero);
    }

    [Test]
    public void Sessions_are_independent_of_each_other()
    {
        var results = new float[8][];
        Parallel.For(0, results.Length, n =>
        {
            var (problem, a, b) = TwoLayers();
            using var session = new RescalingSession(problem);
            session.Bind("a", a);
            session.Bind("b", b);
            for (var step = 0; step < 200; step++)
            {
                session.Step();
                a[step % a.Length] += 0.5f;
            }

            results[n] = a;
        });
        Assert.That(results, Is.All.EqualTo(results[0]));
    }

    [Test]
    public void A_network_with_an_output_scale_is_refused()
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(
            new("a", ElementType.Float32, WeightLayout.Dense(1, 1)) { OutputScale = new double[] { 2 } }, builder.Input("x", 1)));
        Assert.That(() => new RescalingSession(new RescalingProblem(builder.Build())), Throws.InstanceOf<NetworkException>().With.Message.Contains("'a'"));
    }

    private static TensorError Error(Action call) => Assert.Throws<TensorException>(call)!.Error;

    // Weights [4, 3] and [2, 4], float32.
    private static (RescalingProblem Problem, float[] A, float[] B) TwoLayers()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("a", ElementType.Float32, WeightLayout.Dense(4, 3)), builder.Input("x", 3));
        builder.Output(builder.Weight(new("b", ElementType.Float32, WeightLayout.Dense(2, 4)), hidden));
        return (
            new RescalingProblem(builder.Build()),
            [.. Enumerable.Range(1, 12).Select(n => (float)Math.Sin(n) * n)],
            [.. Enumerable.Range(1, 8).Select(n => (float)Math.Cos(n))]);
    }

    private static bool HasShape(WeightLayout layout)
    {
        var (first, stride) = layout.Order == TensorOrder.OutputInput
            ? (layout.OutputsPerGroup, layout.OutputStride)
            : (layout.InputsPerGroup, layout.InputStride);
        return layout.Groups == 1 || first == 1 || layout.GroupStride == first * stride;
    }

    private static void Bind(RescalingSession session, Network network, NetworkTensors tensors)
    {
        foreach (var weight in network.Weights)
        {
            var layout = weight.Layout;
            var memory = tensors[weight.Index];

            // Any layout as [groups * first, second, kernel], where the groups' stride allows it.
            var outputsFirst = layout.Order == TensorOrder.OutputInput;
            var (first, second) = outputsFirst ? (layout.OutputsPerGroup, layout.InputsPerGroup) : (layout.InputsPerGroup, layout.OutputsPerGroup);
            var (stride, innerStride) = outputsFirst ? (layout.OutputStride, layout.InputStride) : (layout.InputStride, layout.OutputStride);
            stride = first == 1 ? layout.GroupStride : stride;
            if (layout.Groups == 1 || layout.GroupStride == first * stride)
            {
                session.Bind(weight.Name, new TensorView(
                    memory.Address + (nint)(layout.Offset * weight.ElementType.ByteSize()),
                    weight.ElementType,
                    (long)layout.Groups * first,
                    second,
                    layout.Kernel)
                {
                    Strides = [stride, innerStride, layout.KernelStride],
                });
                continue;
            }

            throw new InvalidOperationException($"'{weight.Name}' has gaps between its groups.");
        }
    }

    // A CPU backend whose states wait until they are told to go on.
    private sealed class SlowBackend : IBackend
    {
        private readonly CpuBackend _cpu = new(1);

        public ManualResetEventSlim Entered { get; } = new();

        public ManualResetEventSlim Go { get; } = new();

        public string Name => _cpu.Name;

        public int Threads => 1;

        public SweepOrder PreferredOrder => _cpu.PreferredOrder;

        public RescalingState CreateState(EquiNorm.Plan.RescalingPlan plan, NetworkTensors tensors)
        {
            Entered.Set();
            Go.Wait();
            return _cpu.CreateState(plan, tensors);
        }

        public WeightScaler CreateScaler(Scalings scalings, Weight weight) => _cpu.CreateScaler(scalings, weight);

        public ApplyReport Apply(Scalings scalings, NetworkTensors tensors) => _cpu.Apply(scalings, tensors);

        public long MeasureWorkspace(RescalingProblem problem, NetworkTensors tensors, StepOptions options) => 0;

        public void UseWorkspace(nint address, long bytes)
        {
        }

        public void Dispose()
        {
            _cpu.Dispose();
            Entered.Dispose();
            Go.Dispose();
        }
    }
}
