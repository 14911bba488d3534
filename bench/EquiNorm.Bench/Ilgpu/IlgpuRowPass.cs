using EquiNorm.Gpu;
using EquiNorm.Gpu.Layout;
using EquiNorm.Gpu.Tables;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Bench.Ilgpu;

/// <summary>
/// The fused pass over one dense float32 matrix, cut into tiles as in a step, with all factors 1: tables and results lie on the device, and a
/// run is a single launch.
/// </summary>
internal sealed class IlgpuRowPass : IDisposable
{
    private readonly IDeviceQueue _queue;
    private readonly DeviceLayout _layout;
    private readonly DeviceBuffer<SumTile> _tiles;
    private readonly DeviceBuffer<int> _channels;
    private readonly DeviceBuffer<double> _factors;
    private readonly DeviceBuffer<double> _sums;
    private readonly DeviceBuffer<double> _norms;
    private readonly SumParameters _parameters;

    /// <param name="queue">The device.</param>
    /// <param name="address">Where the matrix is, on the device.</param>
    /// <param name="size">Rows and columns.</param>
    public IlgpuRowPass(IDeviceQueue queue, nint address, int size)
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(new("matrix", ElementType.Float32, WeightLayout.Dense(size, size)), builder.Input("input", size)));
        var plan = RescalingPlan.Create(new RescalingProblem(builder.Build()));
        _queue = queue;
        _layout = new DeviceLayout(plan);
        var ones = new double[plan.Problem.Network.ChannelCount];
        Array.Fill(ones, 1);
        var tiles = _layout.AllTiles.Single().Tiles
            .Select(t => TileShape.Shape(t with { Elements = t.Elements + address / sizeof(float) }, sizeof(float))).ToArray();
        _tiles = new DeviceBuffer<SumTile>(queue, tiles);
        _channels = new DeviceBuffer<int>(queue, _layout.Channels);
        _factors = new DeviceBuffer<double>(queue, ones);
        _sums = new DeviceBuffer<double>(queue, _layout.SumCount);
        _norms = new DeviceBuffer<double>(queue, _layout.NormCount);
        _parameters = new SumParameters
        {
            Tiles = _tiles.View,
            Elements = DeviceView<byte>.Everywhere,
            Quads = DeviceView<byte>.Everywhere,
            Channels = _channels.View,
            OutputFactors = _factors.View,
            InputFactors = _factors.View,
            Sums = _sums.View,
            Norms = _norms.View,
            Exponent = 2,
            FactorStride = ones.Length,
            SumStride = _layout.SumCount,
            NormStride = _layout.NormCount,
            TileCount = tiles.Length,
        };
    }

    /// <summary>Launches the pass.</summary>
    public void Run() =>
        _queue.Launch(KernelCatalog.Sum(PowerFormula.Square, ElementType.Float32), _parameters.TileCount, KernelPolicy.GroupSize, _parameters);

    /// <summary>Waits, and adds up the partial sums of the rows.</summary>
    public double[] ReadRows()
    {
        var sums = new double[_sums.Length];
        _sums.Download(sums);
        var panel = _layout.Panels.Single();
        return [.. Enumerable.Range(0, panel.Rows).Select(r => Enumerable.Range(0, panel.RowParts).Sum(p => sums[panel.RowSums + p * panel.Rows + r]))];
    }

    public void Dispose()
    {
        _tiles.Dispose();
        _channels.Dispose();
        _factors.Dispose();
        _sums.Dispose();
        _norms.Dispose();
    }
}
