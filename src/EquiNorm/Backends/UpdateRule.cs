using EquiNorm.Plan;

namespace EquiNorm.Backends;

/// <summary>
/// How far an update moves a channel: u becomes the point of [-limit, limit] nearest to u + damping log(b / a) / (2 p). Within limits that
/// is still the minimiser over one channel, as F is convex in it, and Jacobi's bound on F is a sum of functions of one channel each.
/// </summary>
/// <param name="LogLimit">log G, or infinity.</param>
/// <param name="Damping">
/// 1 for the closed form, 1/2 for half of the way. Units that feed themselves go at most half of the way at p = infinity, where whole steps
/// of channels that move each other can swing for ever. (At finite p they need not: F does not rise.)
/// </param>
public readonly record struct UpdateRule(double LogLimit, double Damping)
{
    /// <summary>The closed form without limits.</summary>
    public static UpdateRule Free { get; } = new(double.PositiveInfinity, 1);

    /// <summary>Whether updates are the closed form.</summary>
    public bool IsFree => this == Free;

    /// <summary>The rule for one unit.</summary>
    public UpdateRule For(RescalingPlan plan, UpdateUnit unit) =>
        plan.Problem.TakesLargest && Damping > 0.5 && plan.FeedsItself(unit) ? this with { Damping = 0.5 } : this;
}
