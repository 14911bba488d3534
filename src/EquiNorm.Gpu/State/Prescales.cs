using EquiNorm.Gpu.Layout;
using EquiNorm.Model;

namespace EquiNorm.Gpu.State;

/// <summary>
/// The power of two that each weight is multiplied by before it is raised to the power p, so that energies stay in the range of float64;
/// and the output scales to the power p.
/// </summary>
internal sealed class Prescales : IDisposable
{
    // float32 to the power 4 stays within 1e-180 .. 1e154, far from the ends of float64. Beyond that the largest magnitude decides.
    private const double LargestSafeNorm = 4;

    // Magnitudes within 2^+-200 are safe up to p = 4.
    private const int SafeExponent = 200;
    private const int Limit = 1022;
    private const double SmallestNormal = 2.2250738585072014e-308;

    private readonly DeviceLayout _layout;
    private readonly LargestMagnitudes _largest;
    private readonly int[] _exponents;
    private readonly DeviceBuffer<double> _logScales;

    public Prescales(DeviceLayout layout, DeviceWeights weights, IDeviceQueue queue)
    {
        _layout = layout;
        _largest = new LargestMagnitudes(layout, weights, queue);
        _exponents = new int[layout.Weights.Length];
        _logScales = new DeviceBuffer<double>(queue, layout.Weights.Length);
    }

    /// <summary>log lambda of each weight, less the logarithm of its prescale^p.</summary>
    public DeviceView<double> LogScales => _logScales.View;

    /// <summary>Looks at the weights, where that is needed, and chooses.</summary>
    public void Choose()
    {
        var norm = _layout.Plan.Problem.FactorExponent;
        _largest.Forget();
        var logScales = new double[_exponents.Length];
        for (var t = 0; t < _exponents.Length; t++)
        {
            _exponents[t] = 0;
            if (norm > LargestSafeNorm || _layout.Weights[t].Matrix.ElementType == ElementType.Float64)
            {
                var largest = _largest.Of(t);
                var exponent = largest > 0 && double.IsFinite(largest) ? Math.ILogB(largest) : 0;
                var inRange = Math.Abs(exponent) * Math.Max(1, norm / LargestSafeNorm) <= SafeExponent;
                _exponents[t] = inRange ? 0 : Math.Clamp(-exponent, -Limit, Limit);
            }

            logScales[t] = LogScale(t);
        }

        _logScales.Upload(logScales);
    }

    public double LogScale(int weight) =>
        _layout.Plan.Weights[weight].LogPenalty - _layout.Plan.Problem.FactorExponent * _exponents[weight] * Math.Log(2);

    public double Factor(int weight) => Math.ScaleB(1, _exponents[weight]);

    /// <summary>Whether some weight of a type has a prescale.</summary>
    public bool Any(ElementType type)
    {
        for (var t = 0; t < _exponents.Length; t++)
        {
            if (_exponents[t] != 0 && _layout.Weights[t].Matrix.ElementType == type)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>|output scale|^p of all weights that have one.</summary>
    public double[] OutputScales()
    {
        var norm = _layout.Plan.Problem.FactorExponent;
        var powers = new double[_layout.ScaleCount];
        foreach (var weight in _layout.Plan.Weights)
        {
            var scale = weight.Weight.OutputScale.Span;
            for (var o = 0; o < scale.Length; o++)
            {
                // A channel is dead only if its scale is zero, not if the scale's power underflows.
                var power = norm == 2 ? scale[o] * scale[o] : Math.Pow(Math.Abs(scale[o]), norm);
                powers[_layout.Weights[weight.Index].Scales + o] = scale[o] == 0 ? 0 : Math.Max(SmallestNormal, power);
            }
        }

        return powers;
    }

    public void Dispose()
    {
        _largest.Dispose();
        _logScales.Dispose();
    }
}
