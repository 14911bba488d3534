using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Backends;

/// <summary>
/// One sweep at a time, applied at once to everything that is bound: the operation that is interleaved with training. What is bound may
/// change between steps. One caller at a time.
/// </summary>
public interface IStepper : IDisposable
{
    /// <summary>
    /// Takes in what is bound now: a step does that itself, but allocates and copies then, which a stream that is being captured forbids.
    /// </summary>
    /// <exception cref="NetworkException">A weight of the norm is not bound, or cannot be used.</exception>
    void Prepare();

    /// <summary>Gives the working memory back; the next step takes it anew.</summary>
    void Release();

    /// <summary>Rescales everything that is bound. On a GPU it returns at once.</summary>
    /// <exception cref="NetworkException">Something is wrong with the tensors; nothing was written. A GPU tells in the report.</exception>
    void Step();

    /// <summary>Waits for the last step, and tells what it did.</summary>
    StepReport ReadReport();

    /// <summary>Waits for the last step, and copies u = log d of every channel that it applied: 0 if it wrote nothing.</summary>
    /// <param name="logFactors">One number per channel of the network.</param>
    void ReadLogFactors(Span<double> logFactors);
}

/// <summary>A backend with a stepper of its own. On other backends the host drives the steps.</summary>
public interface IStepperSource : IBackend
{
    /// <summary>Prepares steps on tensors that this backend can reach, or null if the host should drive them.</summary>
    IStepper? CreateStepper(RescalingProblem problem, NetworkTensors tensors, StepOptions options);
}

/// <summary>Whether a step wrote.</summary>
public enum StepOutcome
{
    /// <summary>No step was made, or the last call could not begin one.</summary>
    None,

    /// <summary>Everything that is bound was rescaled.</summary>
    Applied,

    /// <summary>Some weight holds a NaN or an infinity: nothing was written.</summary>
    NonFinite,

    /// <summary>Some factor was beyond exp(+-300), or exp(+-150) with second moments: nothing was written; solve instead.</summary>
    OutOfRange,
}

/// <summary>What a step did.</summary>
/// <param name="Outcome">Whether it wrote.</param>
/// <param name="ObjectiveBefore">F before the step.</param>
/// <param name="Residual">max |log(a/b)| / p behind the last correction of whole groups, before the last update of single channels.</param>
/// <param name="FrozenChannels">Channels that keep their factor because they are dead or disconnected.</param>
/// <param name="Applied">Overflow and underflow of elements.</param>
public readonly record struct StepReport(
    StepOutcome Outcome, double ObjectiveBefore, double Residual, int FrozenChannels, ApplyReport Applied)
{
    /// <summary>The weight that holds a NaN or an infinity, if that is the outcome.</summary>
    public Weight? NonFinite { get; init; }
}
