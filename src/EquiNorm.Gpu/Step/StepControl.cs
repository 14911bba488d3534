namespace EquiNorm.Gpu.Step;

/// <summary>
/// The words that steer a step on the device: whether channels are dead, whether weights are finite, and the references of the groups.
/// The first launch of a step clears all but the second.
/// </summary>
internal sealed class StepControl(IDeviceQueue queue, int groups) : IDisposable
{
    // The status lies apart from what is cleared: it is read until the next step.
    private readonly DeviceBuffer<long> _words = Cleared(queue, 3L + groups);

    /// <summary>1 if some channel is dead.</summary>
    public DeviceView<int> Condition => new(_words.View.Address + sizeof(long), 1);

    /// <summary>1 if some weight is not finite.</summary>
    public DeviceView<int> Status => new(_words.View.Address, 1);

    /// <summary>Always 0: while dead channels are being looked for, none is known yet.</summary>
    public DeviceView<int> Never => new(_words.View.Address + (ulong)(2 + groups) * sizeof(long), 1);

    /// <summary>The reference of each group.</summary>
    public DeviceView<double> References => new(_words.View.Address + 2 * sizeof(long), groups);

    /// <summary>What a step starts with as zero.</summary>
    public DeviceView<long> Reset => _words.View.Slice(1, 1L + groups);

    /// <summary>The status after the last step.</summary>
    public int ReadStatus()
    {
        Span<long> word = stackalloc long[1];
        _words.Download(word);
        return (int)word[0];
    }

    public void Dispose() => _words.Dispose();

    private static DeviceBuffer<long> Cleared(IDeviceQueue queue, long words)
    {
        var buffer = new DeviceBuffer<long>(queue, words);
        buffer.Clear();
        return buffer;
    }
}
