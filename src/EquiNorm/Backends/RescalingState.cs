using EquiNorm.Model;
using EquiNorm.Plan;

namespace EquiNorm.Backends;

/// <summary>
/// One problem on one device: the energies E, the log-factors u, and the weighted sums of E that are valid at the current u.
/// </summary>
/// <remarks>
/// The factors of channel c of group g are kept relative to a reference of the group: exp(p u) = exp(reference_g) * x_c with x_c near 1,
/// so that neither deep networks nor penalties of 1e300 overflow. Sums are stored without penalty and without references: row sums
/// R[o] = sum_i E[o,i] / x_i over one input segment, column sums C[i] = sum_o x_o E[o,i] over one output segment; at p = infinity the
/// largest takes the place of every sum, over kernel positions too, and exp(u) that of exp(p u). A shift of a whole
/// group changes its reference only and leaves every sum valid. Frozen channels keep u = 0 and stand outside the group's reference;
/// their share of each sum is constant and kept apart (<see cref="FixedSums"/>).
/// </remarks>
public abstract class RescalingState : IDisposable
{
    /// <summary>The plan.</summary>
    public abstract RescalingPlan Plan { get; }

    /// <summary>Energies read so far (not counting the pass that made them from the weights, if they are stored).</summary>
    public abstract long EdgesRead { get; }

    /// <summary>Takes the elements of the weights from where they are bound now. All sums are stale until <see cref="Load"/>.</summary>
    /// <returns>False if this state cannot; a new one must be made then.</returns>
    public virtual bool Rebind(NetworkTensors tensors) => false;

    /// <summary>Bytes of working memory on the device.</summary>
    public virtual long WorkspaceBytes => 0;

    /// <summary>
    /// Reads the weights at the given log-factors; all sums are valid afterwards, and no channel is frozen. Can be called again when the
    /// weights have changed.
    /// </summary>
    /// <param name="logFactors">u of every channel of the network.</param>
    /// <param name="use">Whether further sums will be asked for.</param>
    /// <returns>Index in the plan of the first weight that holds a NaN or an infinity, or -1.</returns>
    public abstract int Load(ReadOnlySpan<double> logFactors, EnergyUse use);

    /// <summary>Freezes channels of free groups at u = 0.</summary>
    /// <param name="frozen">For each channel of the network whether it is frozen.</param>
    public abstract void Freeze(ReadOnlySpan<bool> frozen);

    /// <summary>How updates move channels, and how residuals are measured, from now on; <see cref="UpdateRule.Free"/> at first.</summary>
    public abstract UpdateRule Rule { get; set; }

    /// <summary>Makes all sums valid that the update of <paramref name="units"/> needs; reads only what is stale.</summary>
    public abstract void Refresh(ReadOnlySpan<UpdateUnit> units);

    /// <summary>Makes the given sums valid.</summary>
    public abstract void Refresh(ReadOnlySpan<SumRef> sums);

    /// <summary>
    /// Announces a first sweep, group by group in network order, from factors that may be far from balance: until <see cref="EndFirstSweep"/>
    /// an update may take into account that the outgoing sums are those of factors that are about to change. All sums must be valid. A backend that
    /// does nothing here is slower, not wrong.
    /// </summary>
    public virtual void BeginFirstSweep()
    {
    }

    /// <summary>From here on updates are the closed form again.</summary>
    public virtual void EndFirstSweep()
    {
    }

    /// <summary>The update of all units at once, by the rule. Their sums must be valid.</summary>
    /// <returns>
    /// The largest |log(a/b)| / p of the units' channels before the update; of a channel that its limit stops, twice as far as it may move.
    /// </returns>
    public abstract double Update(ReadOnlySpan<UpdateUnit> units);

    /// <summary>What <see cref="Update"/> would return, without an update. Their sums must be valid.</summary>
    public abstract double Residual(ReadOnlySpan<UpdateUnit> units);

    /// <summary>
    /// The norm of every block of every weight at the current u, as edges of the coarse problem: the sum of its energies, at p = infinity
    /// the largest. Reads energies only where a block has no valid sum on either side.
    /// </summary>
    /// <param name="edges">Is cleared and filled.</param>
    public abstract void ReadNorms(List<CoarseEdge> edges);

    /// <summary>Adds to u of each group's live channels.</summary>
    /// <param name="shifts">One number per group; 0 for pinned groups.</param>
    public abstract void Shift(ReadOnlySpan<double> shifts);

    /// <summary>Copies u of every channel of the network.</summary>
    public abstract void ReadLogFactors(Span<double> logFactors);

    /// <summary>Sets u of every live channel; all sums that depend on it become stale.</summary>
    public abstract void WriteLogFactors(ReadOnlySpan<double> logFactors);

    /// <summary>
    /// Computes the sums at the current u and, in the same read, the sums with each summed channel weighted by
    /// <paramref name="weights"/>. The former become valid; the latter can be read from <see cref="ProbeSums"/> until the next probe
    /// of the same sum.
    /// </summary>
    /// <param name="sums">Which sums.</param>
    /// <param name="weights">One number per channel of the network.</param>
    public abstract void Probe(ReadOnlySpan<SumRef> sums, ReadOnlySpan<double> weights);

    /// <summary>Host copy of a sum, one number per position; whether it is valid is the caller's knowledge.</summary>
    public abstract ReadOnlySpan<double> Sums(SumRef sum);

    /// <summary>Host copy of the last probe of a sum.</summary>
    public abstract ReadOnlySpan<double> ProbeSums(SumRef sum);

    /// <summary>The constant share of the frozen channels of free groups in a weight's sums; empty if there are none.</summary>
    public abstract ReadOnlySpan<double> FixedSums(int weight, Axis axis);

    /// <summary>x_c (output axis) or 1/x_c (input axis) of every channel; 0 for frozen channels of free groups.</summary>
    public abstract ReadOnlySpan<double> Factors(Axis axis);

    /// <summary>The reference of a group: the logarithm that all its factors^p have in common.</summary>
    public abstract double Reference(int group);

    /// <summary>log lambda_t of a weight, less the power of two that its energies were scaled by to stay in range.</summary>
    public abstract double LogScale(int weight);

    /// <summary>Whether a channel of a free group may move (is not frozen).</summary>
    public abstract bool IsLive(int channel);

    /// <summary>Whether all of some consecutive channels are live.</summary>
    public virtual bool AreLive(int first, int count)
    {
        for (var c = first; c < first + count; c++)
        {
            if (!IsLive(c))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Index in the weight's tensor (output, input, kernel position) of its first NaN or infinity, with its value.</summary>
    public abstract (int Output, int Input, int Kernel, double Value)? FindNonFinite(int weight);

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(disposing: true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Releases the memory of the state.</summary>
    protected abstract void Dispose(bool disposing);
}

/// <summary>What energies are needed for after the weights were read.</summary>
public enum EnergyUse
{
    /// <summary>A solve: they are kept where they are smaller than the weights, and read again and again.</summary>
    Keep,

    /// <summary>A single step: the first sums are all that is wanted, so nothing is kept. Further sums read the weights again.</summary>
    Once,
}

/// <summary>
/// A term N exp(p (s_out - s_in)) of the coarse problem. Group -1 stands for channels that do not move: pinned groups and frozen channels.
/// </summary>
/// <param name="OutputGroup">The group written, or -1.</param>
/// <param name="InputGroup">The group read, or -1.</param>
/// <param name="LogNorm">log N, penalty included.</param>
/// <param name="Weight">Index in the plan of the weight that it is a part of.</param>
public readonly record struct CoarseEdge(int OutputGroup, int InputGroup, double LogNorm, int Weight);
