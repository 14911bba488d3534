namespace EquiNorm.Gpu.Step;

/// <summary>
/// The words that steer a step on the device: whether weights are finite, whether factors are in range, whether channels are dead, and
/// the references of the groups. The first launch of a step clears all but the first.
/// </summary>
internal sealed class StepControl(IDeviceQueue queue, int groups) : IDisposable
{
    // The lower half of each word is what kernels see.
    private readonly DeviceBuffer<long> _words = Cleared(queue, 4L + groups);

    /// <summary>1 if some weight is not finite.</summary>
    public DeviceView<int> Status => Word(0, 1);

    /// <summary>1 if some factor is out of range.</summary>
    public DeviceView<int> Steep => Word(1, 1);

    /// <summary>Status and Steep, with a word between them that is always 0.</summary>
    public DeviceView<int> Refusals => Word(0, 3);

    /// <summary>1 if some channel is dead.</summary>
    public DeviceView<int> Condition => Word(2, 1);

    /// <summary>Always 0: while dead channels are being looked for, none is known yet.</summary>
    public DeviceView<int> Never => Word(3, 1);

    /// <summary>The reference of each group.</summary>
    public DeviceView<double> References => new(_words.View.Address + 4 * sizeof(long), groups);

    /// <summary>What a step starts with as zero.</summary>
    public DeviceView<long> Reset => _words.View.Slice(1, 3L + groups);

    /// <summary>Whether the last step refused the weights, or the factors.</summary>
    public (bool NotFinite, bool Steep) ReadRefusals()
    {
        Span<long> words = stackalloc long[2];
        _words.Download(words);
        return (words[0] != 0, words[1] != 0);
    }

    public void Dispose() => _words.Dispose();

    private static DeviceBuffer<long> Cleared(IDeviceQueue queue, long words)
    {
        var buffer = new DeviceBuffer<long>(queue, words);
        buffer.Clear();
        return buffer;
    }

    private DeviceView<int> Word(int index, int words) => new(_words.View.Address + (ulong)(index * sizeof(long)), words);
}
