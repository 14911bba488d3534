namespace EquiNorm.Gpu.Cuda;

/// <summary>CUDA refused. The message names the call, CUDA's name for the error, and what to do.</summary>
public sealed class CudaException : Exception
{
    internal CudaException(CudaErrorKind kind, string message)
        : base(message)
    {
        Kind = kind;
    }

    internal CudaException(CudaErrorKind kind, string call, CudaResult result, string errorName, string message)
        : base(message)
    {
        Kind = kind;
        Call = call;
        Code = (int)result;
        ErrorName = errorName;
    }

    /// <summary>What it is about.</summary>
    public CudaErrorKind Kind { get; }

    /// <summary>The call of the driver that failed, "cuMemAlloc_v2" say; null if none was made.</summary>
    public string? Call { get; }

    /// <summary>CUDA's number for the error (CUresult), zero if no call was made.</summary>
    public int Code { get; }

    /// <summary>CUDA's name for the error, "CUDA_ERROR_OUT_OF_MEMORY" say; null if no call was made.</summary>
    public string? ErrorName { get; }
}
