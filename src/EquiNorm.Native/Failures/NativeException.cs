namespace EquiNorm.Native.Failures;

/// <summary>A call from C is refused.</summary>
/// <param name="status">What the call returns.</param>
/// <param name="message">What en_last_error tells.</param>
internal sealed class NativeException(Status status, string message) : Exception(message)
{
    /// <summary>What the call returns.</summary>
    public Status Status { get; } = status;

    /// <summary>An argument that no call takes.</summary>
    public static NativeException Argument(string message) => new(Status.InvalidArgument, message);
}
