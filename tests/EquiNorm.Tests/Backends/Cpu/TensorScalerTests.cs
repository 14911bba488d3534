using System.Runtime.InteropServices;
using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

/// <summary>Everything that is bound, multiplied in one run: against scalar arithmetic, element by element, padding included.</summary>
public sealed unsafe class TensorScalerTests
{
    private static readonly CompanionKind[] Kinds = Enum.GetValues<CompanionKind>();

    [Test]
    public void Every_tensor_is_multiplied_by_its_power_and_padding_stays([Range(0, 5)] int number, [Values(1, 2, 3)] int threads)
    {
        using var bound = new BoundTensors(TestSeeds.Of("scaler", number), magnitude: 1);
        using var backend = new CpuBackend(threads);
        using var scaler = backend.CreateScaler(bound.Tensors);
        foreach (var deviation in (double[])[0, 0.3, 3])
        {
            bound.CheckApply(scaler, bound.LogFactors(deviation));
        }
    }

    [Test]
    public void Extreme_factors_that_cancel_do_no_harm()
    {
        using var bound = new BoundTensors(TestSeeds.Of("extreme", 0), magnitude: 1);
        using var backend = new CpuBackend(2);
        using var scaler = backend.CreateScaler(bound.Tensors);
        var factors = bound.LogFactors(0.5);
        var hidden = bound.Tensors.Network.Weight("grouped");
        foreach (var map in new[] { hidden.Inputs, hidden.Outputs })
        {
            foreach (var channel in map.ToChannels(bound.Tensors.Network.Groups))
            {
                factors[channel] += 800;
            }
        }

        bound.CheckApply(scaler, factors, only: "grouped");

        // And back to factors that are not extreme, with the same scaler.
        bound.CheckApply(scaler, bound.LogFactors(0.1), only: "grouped");
    }

    [Test]
    public void Overflow_and_loss_are_counted_in_all_tensors([Values(1, 3)] int threads)
    {
        using var bound = new BoundTensors(TestSeeds.Of("casualties", 0), magnitude: 20);
        using var backend = new CpuBackend(threads);
        using var scaler = backend.CreateScaler(bound.Tensors);

        var report = bound.CheckApply(scaler, bound.LogFactors(20));

        // How many there are depends on the types that are drawn; that the counts are right was checked above.
        Assert.That((report.Overflowed > 0, report.Underflowed > 0), Is.EqualTo((true, true)), $"the test must see both, {TestSeeds.Repeat}");
    }

    [Test]
    public void Threads_do_not_change_a_bit_and_neither_does_applying_at_once()
    {
        byte[][]? expected = null;
        foreach (var threads in new[] { 1, 2, 3, 0 })
        {
            using var bound = new BoundTensors(TestSeeds.Of("bits", 0), magnitude: 1);
            using var backend = new CpuBackend(Math.Max(1, threads));
            using var scaler = backend.CreateScaler(bound.Tensors);
            var factors = bound.LogFactors(1);
            if (threads == 0)
            {
                backend.Apply(new EquiNorm.Problem.Scalings(bound.Tensors.Network, factors), bound.Tensors);
            }
            else
            {
                scaler.Apply(factors);
            }

            var bytes = bound.Copy();
            expected ??= bytes;
            Assert.That(bytes.Zip(expected).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second)), Is.True, $"{threads} threads");
        }
    }

    [Test]
    public void Factors_that_no_network_has_are_refused_and_nothing_is_written()
    {
        using var bound = new BoundTensors(TestSeeds.Of("refused", 0), magnitude: 1);
        using var backend = new CpuBackend(1);
        using var scaler = backend.CreateScaler(bound.Tensors);
        var before = bound.Copy();
        var pinned = bound.Tensors.Network.Groups.First(g => g.IsPinned).FirstChannel;
        var free = bound.Tensors.Network.Groups.First(g => !g.IsPinned).FirstChannel;

        Assert.That(() => scaler.Apply(new double[3]), Throws.ArgumentException);
        Assert.That(() => scaler.Apply(With(pinned, 0.5)), Throws.ArgumentException);
        Assert.That(() => scaler.Apply(With(free, double.NaN)), Throws.ArgumentException);
        Assert.That(() => scaler.Apply(With(free, double.PositiveInfinity)), Throws.ArgumentException);
        Assert.That(bound.Copy().Zip(before).All(pair => pair.First.AsSpan().SequenceEqual(pair.Second)), Is.True);

        double[] With(int channel, double value)
        {
            var factors = bound.LogFactors(1);
            factors[channel] = value;
            return factors;
        }
    }

    [Test]
    public void An_empty_binding_is_nothing_to_do()
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(new("a", ElementType.Float32, WeightLayout.Dense(2, 3)), builder.Input("x", 3)));
        using var tensors = new NetworkTensors(builder.Build());
        using var backend = new CpuBackend(2);
        using var scaler = backend.CreateScaler(tensors);

        Assert.That(scaler.Apply(new double[5]), Is.EqualTo(default(ApplyReport)));
    }

    /// <summary>
    /// Weights of every layout and companions of every kind, some large enough for many pieces, some with gaps, in memory whose padding is
    /// poisoned.
    /// </summary>
    private sealed class BoundTensors : IDisposable
    {
        private const byte Poison = 0xA5;
        private readonly List<(Weight Weight, int Power, WeightLayout Layout, ElementType Type, nint Address, int Bytes)> _placed = [];
        private readonly Random _random;
        private readonly double _magnitude;

        public BoundTensors(int seed, double magnitude)
        {
            _random = new Random(seed);
            _magnitude = magnitude;
            var builder = new NetworkBuilder();
            var x = Add(builder, "convolution", Any(), WeightLayout.Convolution(160, 33, 9), builder.Input("x", 33));
            x = Add(builder, "grouped", ElementType.Float32, WeightLayout.Convolution(160, 160, 3, 4), x);
            x = Add(builder, "depthwise", Any(), WeightLayout.Depthwise(160, 9), x);
            x = Add(builder, "transposed", Any(), WeightLayout.DenseTransposed(301, 160), x);
            x = Add(builder, "gaps", Any(), WeightLayout.Dense(57, 301) with { Offset = 3, OutputStride = 611, InputStride = 2 }, x);
            x = Add(builder, "planes", Any(), WeightLayout.Convolution(20, 57, 4) with { InputStride = 1, KernelStride = 57 }, x);
            var joined = builder.Concat(x, Add(builder, "beside", Any(), WeightLayout.Dense(7, 57), builder.Input("z", 57)));
            builder.Output(Add(builder, "joined", Any(), WeightLayout.Dense(5, 27), joined));
            builder.Output(Add(builder, "wide", ElementType.Float32, WeightLayout.Dense(2, 70_001), builder.Input("wide input", 70_001)));
            Tensors = new NetworkTensors(builder.Build());
            foreach (var weight in Tensors.Network.Weights)
            {
                Place(weight, 1, weight.Layout, weight.ElementType, memory => Tensors.Bind(weight.Name, memory));
                for (var slot = 0; slot < 2; slot++)
                {
                    Companion(weight, _random.Pick(Kinds), slot);
                }
            }
        }

        public NetworkTensors Tensors { get; }

        public double[] LogFactors(double deviation)
        {
            var factors = new double[Tensors.Network.ChannelCount];
            foreach (var group in Tensors.Network.Groups.Where(g => !g.IsPinned))
            {
                for (var c = 0; c < group.Count; c++)
                {
                    factors[group.FirstChannel + c] = deviation * _random.Normal();
                }
            }

            return factors;
        }

        public byte[][] Copy() => [.. _placed.Select(p => new ReadOnlySpan<byte>((void*)p.Address, p.Bytes).ToArray())];

        public ApplyReport CheckApply(TensorScaler scaler, double[] factors, string? only = null)
        {
            var before = Copy();
            var report = scaler.Apply(factors);
            long overflowed = 0, vanished = 0;
            for (var n = 0; n < _placed.Count; n++)
            {
                var (weight, power, layout, type, address, bytes) = _placed[n];
                if (only is not null && weight.Name != only)
                {
                    continue;
                }

                var outputs = weight.Outputs.ToChannels(Tensors.Network.Groups);
                var inputs = weight.Inputs.ToChannels(Tensors.Network.Groups);
                var size = type.ByteSize();
                var expected = before[n];
                fixed (byte* old = expected)
                {
                    foreach (var (o, i, element) in TestNetwork.Elements(layout))
                    {
                        var value = Oracle.Read(old + element * size, type);
                        var now = Oracle.Read((byte*)address + element * size, type);
                        var exact = value * Math.Exp(power * (factors[outputs[o]] - factors[inputs[i]]));
                        var (a, b) = (Oracle.Round(type, exact * (1 - 1e-13)), Oracle.Round(type, exact * (1 + 1e-13)));
                        if (!(now >= Math.Min(a, b) && now <= Math.Max(a, b)))
                        {
                            Assert.Fail($"{weight.Name}^{power} {type} [{o}, {i}]: {value} became {now} instead of {exact}, {TestSeeds.Repeat}");
                        }

                        overflowed += double.IsFinite(value) && double.IsInfinity(now) ? 1 : 0;
                        vanished += value != 0 && now == 0 ? 1 : 0;
                        Oracle.Write(old + element * size, type, now);
                    }
                }

                // With its elements taken over, what was there before must be all that is there.
                Assert.That(
                    new ReadOnlySpan<byte>((void*)address, bytes).SequenceEqual(expected), Is.True, $"padding of {weight.Name}^{power}");
            }

            if (only is null)
            {
                Assert.That(report, Is.EqualTo(new ApplyReport(overflowed, vanished)));
            }

            return report;
        }

        public void Dispose()
        {
            Tensors.Dispose();
            foreach (var placed in _placed)
            {
                NativeMemory.Free((void*)placed.Address);
            }
        }

        private ElementType Any() => _random.Pick(Enum.GetValues<ElementType>());

        private ChannelAxis Add(NetworkBuilder builder, string name, ElementType type, WeightLayout layout, ChannelAxis x)
        {
            var axis = builder.Weight(new WeightDeclaration(name, type, layout), x);
            builder.Bias($"bias of {name}", Any(), axis);
            return axis;
        }

        private void Companion(Weight weight, CompanionKind kind, int slot)
        {
            var type = Any();
            var power = EquiNorm.Model.Companion.PowerOf(kind);
            if (_random.Chance(0.3))
            {
                Place(weight, power, weight.Layout, type, memory => Tensors.BindCompanion(weight.Name, kind, memory, slot));
                return;
            }

            // Axes in any order, with gaps: each stride is beyond the reach of the smaller ones.
            var layout = weight.Layout;
            var outputsFirst = layout.Order == TensorOrder.OutputInput;
            long[] shape = outputsFirst
                ? [layout.Outputs, layout.InputsPerGroup, layout.Kernel]
                : [layout.Inputs, layout.OutputsPerGroup, layout.Kernel];
            var order = new[] { 0, 1, 2 };
            if (_random.Chance(0.5))
            {
                _random.Shuffle(order);
            }

            var strides = new long[3];
            long next = _random.Chance(0.5) ? 1 : 2;
            foreach (var axis in order.Reverse())
            {
                strides[axis] = next;
                next = next * Math.Max(1, shape[axis]) + _random.Next(2);
            }

            var placed = layout with
            {
                Offset = 0,
                GroupStride = strides[0] * (outputsFirst ? layout.OutputsPerGroup : layout.InputsPerGroup),
                OutputStride = strides[outputsFirst ? 0 : 1],
                InputStride = strides[outputsFirst ? 1 : 0],
                KernelStride = strides[2],
            };
            Place(weight, power, placed, type, memory => Tensors.BindCompanion(
                weight.Name, kind, new TensorView(memory.Address, type, shape) { Strides = strides }, slot));
        }

        // Elements of all magnitudes of interest, a tenth of them zero.
        private void Place(Weight weight, int power, WeightLayout layout, ElementType type, Action<TensorMemory> bind)
        {
            var size = type.ByteSize();
            var bytes = (int)(layout.RequiredElements + 16) * size;
            var memory = (byte*)NativeMemory.Alloc((nuint)bytes);
            new Span<byte>(memory, bytes).Fill(Poison);
            foreach (var (_, _, element) in TestNetwork.Elements(layout))
            {
                var value = _random.Next(10) == 0 ? 0 : _random.Normal() * Math.Exp((_magnitude - 1) * _random.Normal());
                Oracle.Write(memory + element * size, type, Oracle.Round(type, value));
            }

            _placed.Add((weight, power, layout, type, (nint)memory, bytes));
            bind(new TensorMemory((nint)memory, layout.RequiredElements, type));
        }
    }
}
