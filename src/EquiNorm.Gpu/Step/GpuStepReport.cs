namespace EquiNorm.Gpu.Step;

/// <summary>What a step did.</summary>
/// <param name="IsFinite">False if some weight was NaN or infinite: then nothing was written.</param>
/// <param name="IsInRange">False if some factor was beyond exp(+-300) (+-150 with second moments): then nothing was written; solve instead.</param>
/// <param name="ObjectiveBefore">F before the step.</param>
/// <param name="Residual">max |log(a/b)| / p behind the correction of whole groups, before the update of single channels.</param>
/// <param name="FrozenChannels">Channels that keep their factor because nothing writes or reads them.</param>
/// <param name="Overflowed">Elements that were finite and are infinite now.</param>
/// <param name="Underflowed">Elements that were not zero and are zero now.</param>
public readonly record struct GpuStepReport(
    bool IsFinite, bool IsInRange, double ObjectiveBefore, double Residual, int FrozenChannels, long Overflowed, long Underflowed);
