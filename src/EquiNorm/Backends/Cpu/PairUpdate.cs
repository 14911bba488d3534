// The joint update of the channels A and B on both sides of one element e of a depthwise weight, with incoming r and outgoing g, all as
// logarithms: the minimum of exp(r + a) + exp(e + b - a) + exp(g - b) over the square |a|, |b| <= limit, a = p u_A, b = p u_B.

namespace EquiNorm.Backends.Cpu;

internal static class PairUpdate
{
    /// <summary>The minimum; at p = infinity the only point at which neither channel wants to move further than its limit.</summary>
    public static (double A, double B) Solve(double r, double e, double g, double limit)
    {
        var (a, b) = ((e + g - (2 * r)) / 3, (2 * g - r - e) / 3);
        if ((Math.Abs(a) <= limit && Math.Abs(b) <= limit) || !double.IsFinite(a + b))
        {
            return (a, b);
        }

        // It lies on an edge of the square: on each edge the other channel has its own closed form, and the pair is the minimum if the
        // channel on the edge would not leave it.
        Span<double> edges = [limit, -limit];
        foreach (var edge in edges)
        {
            var other = Behind(edge, e, g, limit);
            if (Front(other, r, e, limit) == edge)
            {
                return (edge, other);
            }
        }

        foreach (var edge in edges)
        {
            var other = Front(edge, r, e, limit);
            if (Behind(other, e, g, limit) == edge)
            {
                return (other, edge);
            }
        }

        // Rounding hides the edge: one channel after the other, each to its own minimum, never raises the sum.
        a = Math.Clamp(a, -limit, limit);
        b = Behind(a, e, g, limit);
        return (Front(b, r, e, limit), b);
    }

    /// <summary>The minimum over a at a given b.</summary>
    public static double Front(double b, double r, double e, double limit) => Math.Clamp((e + b - r) / 2, -limit, limit);

    /// <summary>The minimum over b at a given a.</summary>
    public static double Behind(double a, double e, double g, double limit) => Math.Clamp((g - e + a) / 2, -limit, limit);
}
