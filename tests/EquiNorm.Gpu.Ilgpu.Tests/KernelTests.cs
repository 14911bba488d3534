using System.Runtime.InteropServices;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>Every kernel once, on ILGPU's CPU accelerator, against plain loops in float64.</summary>
internal sealed class KernelTests
{
    private const int Channels = 18;
    private const int SumsPerTile = Channels;

    // Element by element; four at a time; through shared memory, with three kernel positions.
    private static readonly (int Start, int Rows, int Columns, int Kernel)[] Shapes = [(0, 5, 7, 1), (36, 9, 8, 1), (108, 3, 4, 3)];
    private static readonly double[] Elements = [.. new Random(7).GetItems(Enumerable.Range(-40, 81).Select(n => n / 8.0).ToArray(), 144)];
    private static readonly double[] OutputFactors = [.. Enumerable.Range(0, Channels).Select(n => Math.ScaleB(1, n % 5 - 2))];
    private static readonly double[] InputFactors = [.. Enumerable.Range(0, Channels).Select(n => Math.ScaleB(1, n % 3 - 1))];

    [Test]
    public void The_fused_pass_sums_tiles([Values] PowerFormula formula, [Values] ElementType type)
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var elements = new DeviceBuffer<byte>(queue, Encode(Elements, type));
        using var channels = new DeviceBuffer<int>(queue, [.. Enumerable.Range(0, Channels)]);
        using var outputs = new DeviceBuffer<double>(queue, OutputFactors);
        using var inputs = new DeviceBuffer<double>(queue, InputFactors);
        using var sums = new DeviceBuffer<double>(queue, 2 * SumsPerTile * Shapes.Length);
        using var norms = new DeviceBuffer<double>(queue, Shapes.Length);
        using var energies = new DeviceBuffer<double>(queue, Elements.Length);
        using var reset = new DeviceBuffer<long>(queue, [1, 2, 3]);
        var prescale = formula == PowerFormula.Power || type == ElementType.Float64 ? 0.5 : 1;
        var p = formula switch { PowerFormula.Absolute => 1, PowerFormula.Square => 2, PowerFormula.Largest => 1, _ => 1.5 };
        Func<double, double, double> both = formula == PowerFormula.Largest ? Math.Max : (a, b) => a + b;
        var tiles = Shapes.Select((s, n) => SumTile(s, n, elements.View.Address, type) with { Prescale = prescale }).ToArray();
        using var table = new DeviceBuffer<SumTile>(queue, tiles);
        queue.Launch(KernelCatalog.Sum(formula, type), tiles.Length, KernelPolicy.GroupSize, new SumParameters
        {
            Tiles = table.View,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            Channels = channels.View,
            OutputFactors = outputs.View,
            InputFactors = inputs.View,
            Energies = energies.View,
            Sums = sums.View,
            Norms = norms.View,
            Reset = reset.View.Slice(1, 2),
            Exponent = p,
            FactorStride = Channels,
            SumStride = (int)sums.Length,
            NormStride = Shapes.Length,
            TileCount = tiles.Length,
        });

        var actualSums = Read(sums);
        var actualNorms = Read(norms);
        var actualEnergies = Read(energies);
        Assert.That(Read(reset), Is.EqualTo([1L, 0L, 0L]));

        // Elements of 8 bytes are read one by one, neighbours by neighbours.
        var vector = type == ElementType.Float64 ? TileFlags.None : TileFlags.Vector;
        Assert.That(tiles.Select(t => t.Flags & (TileFlags.Staged | TileFlags.Vector)), Is.EqualTo(
            [TileFlags.None, vector, TileFlags.Staged | vector]));
        for (var n = 0; n < Shapes.Length; n++)
        {
            var (start, rows, columns, kernel) = Shapes[n];
            var rowSums = new double[rows];
            var columnSums = new double[columns];
            double norm = 0;
            for (var r = 0; r < rows; r++)
            {
                for (var c = 0; c < columns; c++)
                {
                    double energy = 0;
                    for (var k = 0; k < kernel; k++)
                    {
                        energy = both(energy, Math.Pow(Math.Abs(prescale * Elements[start + (r * columns + c) * kernel + k]), p));
                    }

                    var (output, input) = (OutputFactors[r], InputFactors[rows + c]);
                    rowSums[r] = both(rowSums[r], energy * input);
                    columnSums[c] = both(columnSums[c], energy * output);
                    norm = both(norm, energy * output * input);
                    Assert.That(actualEnergies[start + r * columns + c], Is.EqualTo(energy).Within(1e-13 * energy));
                }
            }

            Assert.That(actualSums.AsSpan(tiles[n].RowSums, rows).ToArray(), Is.EqualTo(rowSums).Within(1e-10), $"rows of tile {n}");
            Assert.That(actualSums.AsSpan(tiles[n].ColumnSums, columns).ToArray(), Is.EqualTo(columnSums).Within(1e-10), $"columns of tile {n}");
            Assert.That(actualNorms[n], Is.EqualTo(norm).Within(1e-12 * norm));
        }
    }

    [Test]
    public void The_largest_magnitude_of_tiles_is_found([Values] ElementType type)
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var elements = new DeviceBuffer<byte>(queue, Encode(Elements, type));
        using var results = new DeviceBuffer<double>(queue, Shapes.Length);
        using var table = new DeviceBuffer<SumTile>(queue, [.. Shapes.Select((s, n) => SumTile(s, n, elements.View.Address, type))]);
        queue.Launch(
            KernelCatalog.Largest(type),
            Shapes.Length,
            KernelPolicy.GroupSize,
            new LargestParameters { Tiles = table.View, Elements = DeviceView<byte>.Everywhere, Results = results.View });
        Assert.That(
            Read(results),
            Is.EqualTo(Shapes.Select(s => Elements.AsSpan(s.Start, s.Rows * s.Columns * s.Kernel).ToArray().Max(Math.Abs)).ToArray()));
    }

    [Test]
    public void Tiles_are_scaled([Values] ElementType type)
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var source = new DeviceBuffer<byte>(queue, Encode(Elements, type));
        using var target = new DeviceBuffer<byte>(queue, source.Length);
        target.Clear();
        using var channels = new DeviceBuffer<int>(queue, [.. Enumerable.Range(0, Channels)]);
        using var outputs = new DeviceBuffer<double>(queue, OutputFactors);
        using var inputs = new DeviceBuffer<double>(queue, InputFactors);
        using var counts = new DeviceBuffer<ScaleCounts>(queue, Shapes.Length);
        var size = (ulong)type.ByteSize();
        var tiles = Shapes.Select((s, n) => new ScaleTile
        {
            Source = (long)(source.View.Address / size) + s.Start,
            Target = (long)(target.View.Address / size) + s.Start,
            RowStride = s.Columns * s.Kernel,
            ColumnStride = s.Kernel,
            KernelStride = 1,
            Rows = s.Rows,
            Columns = s.Columns,
            Kernel = s.Kernel,
            RowFactors = 0,
            ColumnFactors = s.Rows,
            Counts = n,
            Flags = TileFlags.RowsAreOutputs | (n == 0 ? 0 : TileFlags.Staged | TileFlags.Vector),
            Power = 1,
        }).ToArray();
        using var table = new DeviceBuffer<ScaleTile>(queue, tiles);
        queue.Launch(KernelCatalog.Scale(type), tiles.Length, KernelPolicy.GroupSize, new ScaleParameters
        {
            Tiles = table.View,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            Channels = channels.View,
            OutputFactors = outputs.View,
            InputFactors = inputs.View,
            Counts = counts.View,
        });

        // All factors are powers of two, and everything is far from the ends of the range: nothing is rounded.
        var expected = new double[Elements.Length];
        foreach (var (start, rows, columns, kernel) in Shapes)
        {
            for (var n = 0; n < rows * columns * kernel; n++)
            {
                expected[start + n] = Elements[start + n] * OutputFactors[n / kernel / columns] * InputFactors[rows + n / kernel % columns];
            }
        }

        Assert.That(Read(target), Is.EqualTo(Encode(expected, type)));
        Assert.That(Read(counts), Is.All.EqualTo(default(ScaleCounts)));
    }

    [Test]
    public void Channels_are_updated_by_the_closed_form()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var channelCase = new ChannelCase(queue, [2, 3, 5, 0.5, 0.25, 1, 7, 0.01, 4]);
        using var outputs = new DeviceBuffer<double>(queue, [9, 9, 9]);
        using var inputs = new DeviceBuffer<double>(queue, [9, 9, 9]);
        using var live = new DeviceBuffer<int>(queue, [1, 1, 0]);
        using var logs = new DeviceBuffer<double>(queue, [0.1, -0.2, 0.3]);
        using var gains = new DeviceBuffer<double>(queue, 3);
        using var inverse = new DeviceBuffer<double>(queue, 3);
        using var reports = new DeviceBuffer<ChunkReport>(queue, 1);
        queue.Launch(KernelCatalog.UpdateChannels, 1, KernelPolicy.ChunkChannels, new UpdateParameters
        {
            Chunks = channelCase.Chunks,
            Sums = channelCase.Sums,
            Logs = logs.View,
            OutputFactors = outputs.View,
            InputFactors = inputs.View,
            Live = live.View,
            Gains = gains.View,
            InverseGains = inverse.View,
            Reports = reports.View,
            Norm = 2,
            Updates = 1,
        });

        var (expectedLogs, expectedGains, residual) = (new[] { 0.1, -0.2, 0.3 }, new double[] { 1, 1, 1 }, 0.0);
        for (var c = 0; c < 2; c++)
        {
            var (incoming, outgoing) = (channelCase.Incoming(c), channelCase.Outgoing(c));
            residual = Math.Max(residual, Math.Abs(outgoing - incoming - 2 * (expectedLogs[c] + ChannelCase.Reference)) / 2);
            expectedLogs[c] = 0.5 * (outgoing - incoming) - ChannelCase.Reference;
            expectedGains[c] = Math.Exp(0.25 * (outgoing - incoming));
        }

        var report = Read(reports)[0];
        Assert.Multiple(() =>
        {
            Assert.That(Read(logs), Is.EqualTo(expectedLogs).Within(1e-13));
            Assert.That(Read(gains), Is.EqualTo(expectedGains).Within(1e-13));
            Assert.That(Read(inverse), Is.EqualTo(expectedGains.Select(g => 1 / g)).Within(1e-13));
            Assert.That(Read(outputs), Is.EqualTo([Math.Exp(expectedLogs[0]), Math.Exp(expectedLogs[1]), 9]).Within(1e-13));
            Assert.That(Read(inputs), Is.EqualTo([Math.Exp(-expectedLogs[0]), Math.Exp(-expectedLogs[1]), 9]).Within(1e-12));
            Assert.That(report.Residual, Is.EqualTo(residual).Within(1e-13));
            Assert.That(report.Lowest, Is.EqualTo(expectedLogs[..2].Min()).Within(1e-13));
            Assert.That(report.Highest, Is.EqualTo(expectedLogs[..2].Max()).Within(1e-13));
        });
    }

    [Test]
    public void Dead_channels_are_found()
    {
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        using var channelCase = new ChannelCase(queue, [2, 0, 5, 0.5, 0, 1, 7, 0.01, 4]);
        using var outputs = new DeviceBuffer<double>(queue, 12);
        using var inputs = new DeviceBuffer<double>(queue, 12);
        using var live = new DeviceBuffer<int>(queue, [0, 1, 0]);
        using var totals = new DeviceBuffer<double>(queue, 6);
        using var condition = new DeviceBuffer<int>(queue, [0]);
        queue.Launch(KernelCatalog.FindDeadChannels, 1, KernelPolicy.ChunkChannels, new DeadParameters
        {
            Chunks = channelCase.Chunks,
            Sums = channelCase.Sums,
            OutputFactors = outputs.View,
            InputFactors = inputs.View,
            Live = live.View,
            Totals = totals.View,
            Condition = condition.View,
            FactorStride = 3,
        });
        Assert.Multiple(() =>
        {
            Assert.That(Read(live), Is.EqualTo([1, 0, 1]));
            Assert.That(Read(condition), Is.EqualTo([1]));
            Assert.That(Read(totals), Has.Exactly(2).EqualTo(double.NegativeInfinity).Or.Exactly(1).EqualTo(double.NegativeInfinity));
            Assert.That(Read(outputs), Is.EqualTo([1.0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 0]));
            Assert.That(Read(inputs), Is.EqualTo([1.0, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0]));
        });
    }

    [Test]
    public void The_correction_of_groups_makes_the_norms_of_a_chain_equal()
    {
        // Input (pinned) -> group 0 -> group 1 -> output (pinned): two unknowns, and a matrix of one full row below the diagonal.
        using var queue = new IlgpuQueue(CpuAccelerator.Shared.DefaultStream);
        double[] norms = [3, 50, 0.2];
        using var terms = new DeviceBuffer<CoarseTerm>(queue,
        [
            new CoarseTerm { Tiles = 0, TileCount = 1, OutputGroup = 0, InputGroup = 2, Output = 0, Input = -1 },
            new CoarseTerm { Tiles = 1, TileCount = 1, OutputGroup = 1, InputGroup = 0, Output = 1, Input = 0 },
            new CoarseTerm { Tiles = 2, TileCount = 1, OutputGroup = 2, InputGroup = 1, Output = -1, Input = 1 },
        ]);
        using var normTable = new DeviceBuffer<double>(queue, norms);
        using var scales = new DeviceBuffer<double>(queue, [0.0]);
        using var references = new DeviceBuffer<double>(queue, [0.0, 0.0, 0.0]);
        using var groups = new DeviceBuffer<int>(queue, [0, 1]);
        using var starts = new DeviceBuffer<int>(queue, [0, 2, 4]);
        using var incidents = new DeviceBuffer<int>(queue, [0, 3, 2, 5]);
        using var diagonals = new DeviceBuffer<int>(queue, [0, 2]);
        using var first = new DeviceBuffer<int>(queue, [0, 0]);
        using var matrix = new DeviceBuffer<double>(queue, 3);
        using var logs = new DeviceBuffer<double>(queue, 9);
        using var report = new DeviceBuffer<double>(queue, 2);
        using var status = new DeviceBuffer<int>(queue, [7]);
        queue.Launch(KernelCatalog.CorrectGroups, 1, KernelPolicy.GroupSize, new CoarseParameters
        {
            Terms = terms.View,
            Norms = normTable.View,
            LogScales = scales.View,
            References = references.View,
            Groups = groups.View,
            IncidentStarts = starts.View,
            Incidents = incidents.View,
            Diagonals = diagonals.View,
            FirstColumns = first.View,
            Matrix = matrix.View,
            LogNorms = logs.View,
            Report = report.View,
            Status = status.View,
            Norm = 2,
            NormStride = 3,
            Unknowns = 2,
            TermCount = 3,
        });
        var shift = Read(references);
        var mean = norms.Average(Math.Log);
        Assert.Multiple(() =>
        {
            Assert.That(Read(status), Is.EqualTo([0]));
            Assert.That(Read(report)[0], Is.EqualTo(Math.Log(norms.Sum())).Within(1e-14));
            Assert.That(Math.Log(norms[0]) + shift[0], Is.EqualTo(mean).Within(1e-12));
            Assert.That(Math.Log(norms[1]) + shift[1] - shift[0], Is.EqualTo(mean).Within(1e-12));
            Assert.That(Math.Log(norms[2]) - shift[1], Is.EqualTo(mean).Within(1e-12));
            Assert.That(shift[2], Is.Zero);
        });
    }

    private static SumTile SumTile((int Start, int Rows, int Columns, int Kernel) shape, int index, ulong address, ElementType type) =>
        TileShape.Shape(
            new SumTile
            {
                Elements = (long)(address / (ulong)type.ByteSize()) + shape.Start,
                RowStride = shape.Columns * shape.Kernel,
                ColumnStride = shape.Kernel,
                KernelStride = shape.Kernel == 1 ? 0 : 1,
                Energies = shape.Start,
                Prescale = 1,
                EnergyStride = shape.Columns,
                Rows = shape.Rows,
                Columns = shape.Columns,
                Kernel = shape.Kernel,
                RowChannels = 0,
                ColumnChannels = shape.Rows,
                Scales = -1,
                RowSums = 2 * index * SumsPerTile,
                ColumnSums = (2 * index + 1) * SumsPerTile,
                Norm = index,
                Flags = TileFlags.RowsAreOutputs,
            },
            type.ByteSize());

    private static byte[] Encode(double[] values, ElementType type) => type switch
    {
        ElementType.Float32 => MemoryMarshal.AsBytes(values.Select(v => (float)v).ToArray().AsSpan()).ToArray(),
        ElementType.Float64 => MemoryMarshal.AsBytes(values.AsSpan()).ToArray(),
        ElementType.Float16 => MemoryMarshal.AsBytes(values.Select(v => (Half)v).ToArray().AsSpan()).ToArray(),
        _ => MemoryMarshal.AsBytes(values.Select(v => (ushort)(BitConverter.SingleToUInt32Bits((float)v) >> 16)).ToArray().AsSpan()).ToArray(),
    };

    private static T[] Read<T>(DeviceBuffer<T> buffer)
        where T : unmanaged
    {
        var contents = new T[buffer.Length];
        buffer.Download(contents);
        return contents;
    }

    /// <summary>Three channels of one group, between one weight that writes them, in two parts, and one that reads them.</summary>
    private sealed class ChannelCase(IlgpuQueue queue, double[] sums) : IDisposable
    {
        public const double Reference = 0.4;

        private static readonly double[] LogScales = [0.5, -0.25];
        private static readonly double[] References = [Reference, 0.3, -0.6];

        private readonly DeviceBuffer<UpdateChunk> _chunks = new(
            queue, [new UpdateChunk { Count = 3, Sources = 0, SourceCount = 1, Sinks = 1, SinkCount = 1, Behind = -1 }]);

        private readonly DeviceBuffer<SumTerm> _terms = new(
            queue,
            [
                new SumTerm { Count = 3, Positions = -1, Sums = 0, PartStride = 3, Parts = 2, FarGroup = 1, Weight = 0 },
                new SumTerm { Count = 3, Positions = -1, Sums = 6, PartStride = 3, Parts = 1, FarGroup = 2, Weight = 1 },
            ]);

        private readonly DeviceBuffer<double> _sums = new(queue, sums);
        private readonly DeviceBuffer<double> _logScales = new(queue, LogScales);
        private readonly DeviceBuffer<double> _references = new(queue, References);

        public DeviceView<UpdateChunk> Chunks => _chunks.View;

        public ChannelSumParameters Sums => new()
        {
            Terms = _terms.View,
            Sums = _sums.View,
            LogScales = _logScales.View,
            References = _references.View,
        };

        public double Incoming(int channel) => Math.Log(sums[channel] + sums[3 + channel]) + LogScales[0] - References[1];

        public double Outgoing(int channel) => Math.Log(sums[6 + channel]) + LogScales[1] + References[2];

        public void Dispose()
        {
            _chunks.Dispose();
            _terms.Dispose();
            _sums.Dispose();
            _logScales.Dispose();
            _references.Dispose();
        }
    }
}
