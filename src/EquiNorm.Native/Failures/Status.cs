namespace EquiNorm.Native.Failures;

/// <summary>What every function returns: en_status of equinorm.h.</summary>
internal enum Status
{
    Ok = 0,
    InvalidArgument = 1,
    InvalidNetwork = 2,
    UnknownTensor = 3,
    WrongType = 4,
    WrongShape = 5,
    WrongDevice = 6,
    NotBound = 7,
    NonFinite = 8,
    OutOfRange = 9,
    Busy = 10,
    OutOfMemory = 11,
    CudaUnavailable = 12,
    CudaError = 13,
    Internal = 14,
}
