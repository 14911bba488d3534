namespace EquiNorm.Native.Failures;

/// <summary>The names of statuses in C.</summary>
internal static class StatusNames
{
    /// <summary>Its name in C, ending in a zero that is not counted; words for a number that is no status.</summary>
    public static ReadOnlySpan<byte> Of(int status) => (Status)status switch
    {
        Status.Ok => "EN_OK"u8,
        Status.InvalidArgument => "EN_INVALID_ARGUMENT"u8,
        Status.InvalidNetwork => "EN_INVALID_NETWORK"u8,
        Status.UnknownTensor => "EN_UNKNOWN_TENSOR"u8,
        Status.WrongType => "EN_WRONG_TYPE"u8,
        Status.WrongShape => "EN_WRONG_SHAPE"u8,
        Status.WrongDevice => "EN_WRONG_DEVICE"u8,
        Status.NotBound => "EN_NOT_BOUND"u8,
        Status.NonFinite => "EN_NON_FINITE"u8,
        Status.OutOfRange => "EN_OUT_OF_RANGE"u8,
        Status.Busy => "EN_BUSY"u8,
        Status.OutOfMemory => "EN_OUT_OF_MEMORY"u8,
        Status.CudaUnavailable => "EN_CUDA_UNAVAILABLE"u8,
        Status.CudaError => "EN_CUDA_ERROR"u8,
        Status.Internal => "EN_INTERNAL"u8,
        _ => "unknown status"u8,
    };
}
