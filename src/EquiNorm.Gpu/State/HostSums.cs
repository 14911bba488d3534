using EquiNorm.Gpu.Layout;
using EquiNorm.Plan;

namespace EquiNorm.Gpu.State;

/// <summary>Host copies of sums, fetched when they are asked for: partial sums are added up in the order of the parts (at p = infinity
/// the largest is taken).</summary>
internal sealed class HostSums
{
    private readonly DeviceLayout _layout;
    private readonly EnergyPass _pass;
    private readonly double[][] _parts;
    private readonly bool[][] _partsKnown;
    private readonly double[]?[][][] _vectors;
    private readonly bool[][][][] _vectorsKnown;
    private readonly double[] _norms;
    private readonly double[] _selfEnergies;
    private bool _normsKnown;

    public HostSums(DeviceLayout layout, EnergyPass pass, int sets)
    {
        _layout = layout;
        _pass = pass;
        _parts = new double[sets][];
        _partsKnown = new bool[sets][];
        _vectors = new double[]?[sets][][];
        _vectorsKnown = new bool[sets][][][];
        _norms = new double[layout.NormCount];
        _selfEnergies = new double[pass.HasSelfEdges ? layout.NormCount : 0];
        for (var set = 0; set < sets; set++)
        {
            _parts[set] = [];
            _partsKnown[set] = new bool[layout.Weights.Length];
            _vectors[set] = new double[]?[2 * layout.Weights.Length][];
            _vectorsKnown[set] = new bool[2][][];
            for (var axis = 0; axis < 2; axis++)
            {
                _vectorsKnown[set][axis] = new bool[layout.Weights.Length][];
                foreach (var weight in layout.Plan.Weights)
                {
                    var segments = weight.Segments(axis == 0 ? Axis.Input : Axis.Output).Length;
                    _vectorsKnown[set][axis][weight.Index] = new bool[segments];
                    _vectors[set][2 * weight.Index + axis] = new double[]?[segments]!;
                }
            }
        }
    }

    /// <summary>The sums of weights [first, end) have changed on the device.</summary>
    public void Invalidate(int set, int first, int end)
    {
        Invalidate(set, first, end, Axis.Output);
        Invalidate(set, first, end, Axis.Input);
        _normsKnown &= set != 0;
    }

    private void Invalidate(int set, int first, int end, Axis axis)
    {
        for (var t = first; t < end; t++)
        {
            _partsKnown[set][t] = false;
            Array.Clear(_vectorsKnown[set][(int)axis][t]);
        }
    }

    /// <summary>A vector of sums, one number for each position of its axis.</summary>
    public ReadOnlySpan<double> Get(int set, SumRef sum)
    {
        ref var vector = ref _vectors[set][2 * sum.Weight + (int)sum.Axis][sum.Segment];
        if (!_vectorsKnown[set][(int)sum.Axis][sum.Weight][sum.Segment])
        {
            vector ??= new double[_layout.Plan.Weights[sum.Weight].Length(sum.Axis)];
            Fetch(set, sum.Weight);
            AddUp(set, sum, vector);
            _vectorsKnown[set][(int)sum.Axis][sum.Weight][sum.Segment] = true;
        }

        return vector;
    }

    /// <summary>The partial sums of a weight have changed on the device; vectors that were made of them stay as they are.</summary>
    public void ForgetParts(int set, int weight) => _partsKnown[set][weight] = false;

    /// <summary>Makes a vector anew from the partial sums as they are now.</summary>
    public void Fetch(int set, SumRef sum)
    {
        _vectorsKnown[set][(int)sum.Axis][sum.Weight][sum.Segment] = false;
        _ = Get(set, sum);
    }

    /// <summary>The norm of a block, of the first set.</summary>
    public double Norm(int weight, int outputSegment, int inputSegment)
    {
        if (!_normsKnown)
        {
            _pass.DownloadNorms(_norms);
            _normsKnown = true;
        }

        double norm = 0;
        foreach (var panel in _layout.PanelsOf(weight, outputSegment, inputSegment))
        {
            for (var n = panel.Norms; n < panel.Norms + panel.Tiles; n++)
            {
                norm = Both(norm, _norms[n]);
            }
        }

        return norm;
    }

    /// <summary>Energies between a channel and itself, as the last reading of the weights found them.</summary>
    public double SelfEnergy(int weight)
    {
        if (!_layout.Plan.Weights[weight].HasSelfEdges)
        {
            return 0;
        }

        var place = _layout.Weights[weight];
        double energy = 0;
        for (var n = place.FirstNorm; n < place.FirstNorm + place.NormCount; n++)
        {
            energy = Both(energy, _selfEnergies[n]);
        }

        return energy;
    }

    /// <summary>After the weights were read: the first weight whose sums are not finite, or -1.</summary>
    public int FirstNonFinite()
    {
        if (_selfEnergies.Length > 0)
        {
            _pass.DownloadSelfEnergies(_selfEnergies);
        }

        _pass.DownloadNorms(_norms);
        _normsKnown = true;
        foreach (var weight in _layout.Plan.Weights)
        {
            var place = _layout.Weights[weight.Index];
            for (var n = place.FirstNorm; n < place.FirstNorm + place.NormCount; n++)
            {
                if (!double.IsFinite(_norms[n]) || (weight.HasSelfEdges && !double.IsFinite(_selfEnergies[n])))
                {
                    return weight.Index;
                }
            }
        }

        return -1;
    }

    private double Both(double total, double energy) => _layout.Plan.Problem.TakesLargest ? Math.Max(total, energy) : total + energy;

    private void Fetch(int set, int weight)
    {
        if (_partsKnown[set][weight])
        {
            return;
        }

        if (_parts[set].Length == 0)
        {
            _parts[set] = new double[_layout.SumCount];
        }

        var place = _layout.Weights[weight];
        _pass.DownloadSums(_parts[set].AsSpan(place.FirstSum, place.SumCount), place.FirstSum, set);
        _partsKnown[set][weight] = true;
    }

    private void AddUp(int set, SumRef sum, double[] vector)
    {
        Array.Clear(vector);
        var place = _layout.Weights[sum.Weight];
        var weight = _layout.Plan.Weights[sum.Weight];
        var rows = sum.Axis == place.Matrix.RowAxis;
        for (var n = place.FirstPanel; n < place.FirstPanel + place.PanelCount; n++)
        {
            var panel = _layout.Panels[n];
            if ((sum.Axis == Axis.Output ? panel.InputSegment : panel.OutputSegment) != sum.Segment)
            {
                continue;
            }

            var near = weight.Segments(sum.Axis)[sum.Axis == Axis.Output ? panel.OutputSegment : panel.InputSegment];
            var first = rows ? panel.FirstRow : panel.FirstColumn;
            var count = rows ? panel.Rows : panel.Columns;
            var parts = rows ? panel.RowParts : panel.ColumnParts;
            var start = rows ? panel.RowSums : panel.ColumnSums;
            for (var part = 0; part < parts; part++)
            {
                var values = _parts[set].AsSpan(start + part * count, count);
                for (var i = 0; i < count; i++)
                {
                    if (near.Channels[first - near.Start + i] >= 0)
                    {
                        vector[first + i] = Both(vector[first + i], values[i]);
                    }
                }
            }
        }
    }
}
