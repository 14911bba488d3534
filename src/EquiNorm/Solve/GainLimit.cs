using EquiNorm.Backends;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>The limit 1/G &lt;= d &lt;= G on factors, as |u| &lt;= log G.</summary>
/// <param name="maxGain">G, or null for no limit.</param>
internal sealed class GainLimit(double? maxGain)
{
    // A factor is at its limit if it is as near as rounding leaves it: u is kept as a sum of two numbers.
    private const double Rounding = 1e-12;

    private const double Ln2 = 0.693147180559945309417;

    /// <summary>log G, a hair less so that no rounding of exp(u) exceeds G; infinity for no limit.</summary>
    public double Log { get; } = maxGain is { } g ? Math.Log(g) * (1 - 1e-15) - 1e-18 : double.PositiveInfinity;

    /// <summary>Whether there is a limit.</summary>
    public bool Exists => double.IsFinite(Log);

    /// <summary>1 if u is at the upper limit, -1 at the lower one, else 0.</summary>
    public int Side(double u) => Math.Abs(u) >= Log - Rounding * Math.Max(1, Log) ? Math.Sign(u) : 0;

    /// <summary>Moves what is beyond the limit to it.</summary>
    public void Clamp(Span<double> logFactors)
    {
        for (var c = 0; Exists && c < logFactors.Length; c++)
        {
            logFactors[c] = Math.Clamp(logFactors[c], -Log, Log);
        }
    }

    /// <summary>Factors rounded to powers of two within the limit.</summary>
    public Scalings PowersOfTwo(Scalings scalings)
    {
        var rounded = scalings.PowerOfTwo();
        if (maxGain is not { } g)
        {
            return rounded;
        }

        // The largest power of two that is at most G.
        var limit = Math.ILogB(g) * Ln2;
        var factors = rounded.LogFactors.ToArray();
        for (var c = 0; c < factors.Length; c++)
        {
            factors[c] = Math.Clamp(factors[c], -limit, limit) + 0.0;
        }

        return new Scalings(scalings.Network, factors);
    }

    /// <summary>The channels that may move and are at their limit.</summary>
    public List<LimitedChannel> Find(RescalingState state, ReadOnlySpan<double> logFactors)
    {
        var found = new List<LimitedChannel>();
        foreach (var planned in state.Plan.Groups.Where(g => Exists && !g.Group.IsPinned))
        {
            var group = planned.Group;
            for (var c = 0; c < group.Count; c++)
            {
                var side = state.IsLive(group.FirstChannel + c) ? Side(logFactors[group.FirstChannel + c]) : 0;
                if (side != 0)
                {
                    found.Add(new LimitedChannel(group, c, side > 0 ? GainSide.Largest : GainSide.Smallest));
                }
            }
        }

        return found;
    }
}
