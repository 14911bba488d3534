using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Solve;

/// <summary>
/// Shorter updates for channels that swing. Channels that are updated together start from sums of one moment. Where two of them pass nearly all of
/// their flow to each other and back (x + conv(x), with a large element of conv each way), each answers to the other's old factor: the flows a there
/// and b back become b there and a back, F stays as it is, and so for ever. Half a step takes both to sqrt(ab) at once.
/// </summary>
/// <remarks>
/// To first order an update multiplies an error by 1 - x, with x an eigenvalue of the normalised Laplacian of the flows within the update, between 0
/// and 2: 2 swings. A whole and a half step make (1 - x)(1 - x / 2), at most 1/8 in size from x = 1 on; steps of two thirds make 1 - 2x / 3, at most
/// 1/3. The former needs an even number of updates in a sweep, so that all sweeps are the same map, which is what an extrapolation needs.
/// Convergence without swings pays for both, so neither is used until the residual of an update has hardly fallen.
/// </remarks>
internal sealed class Swings
{
    // A residual that keeps more than this share of both before it: with every share from 0.5 to 0.9 all networks converged; the less, the more
    // networks were damped that converge as fast without.
    private const double Share = 0.8;

    private readonly bool _alternates;
    private readonly bool[] _feedsItself;
    private readonly double[] _last;
    private readonly double[] _older;
    private readonly bool[] _swings;
    private readonly bool[] _isWhole;

    /// <param name="plan">The plan.</param>
    /// <param name="order">Forward-backward updates every unit twice in a sweep, the others once.</param>
    /// <param name="updates">What is updated together, update by update.</param>
    /// <returns>Null where no update can swing: most networks.</returns>
    public static Swings? For(RescalingPlan plan, SweepOrder order, UpdateUnit[][] updates) =>
        !plan.Problem.TakesLargest && Array.Exists(updates, units => FeedsItself(plan, units)) ? new Swings(plan, order, updates) : null;

    private Swings(RescalingPlan plan, SweepOrder order, UpdateUnit[][] updates)
    {
        _alternates = order == SweepOrder.ForwardBackward;
        _feedsItself = Array.ConvertAll(updates, units => FeedsItself(plan, units));
        _last = new double[updates.Length];
        _older = new double[updates.Length];
        Array.Fill(_last, double.PositiveInfinity);
        Array.Fill(_older, double.PositiveInfinity);
        _swings = new bool[updates.Length];
        _isWhole = new bool[updates.Length];
    }

    /// <summary>The part of the way that an update should go.</summary>
    public double Damping(int update) => !_swings[update] || _isWhole[update] ? 1 : _alternates ? 0.5 : 2.0 / 3;

    /// <summary>Takes the residual that an update met into account.</summary>
    public void Learn(int update, double residual)
    {
        if (!_feedsItself[update])
        {
            return;
        }

        if (_swings[update])
        {
            _isWhole[update] = _alternates && !_isWhole[update];
        }

        // Two before: at the ends of a sweep one of two updates follows at once upon the other and has little to do.
        _swings[update] |= residual > Share * Math.Max(_last[update], _older[update]);
        (_older[update], _last[update]) = (_last[update], residual);
    }

    private static bool FeedsItself(RescalingPlan plan, UpdateUnit[] units)
    {
        foreach (var unit in units)
        {
            if (plan.FeedsItself(unit))
            {
                return true;
            }
        }

        return false;
    }
}
