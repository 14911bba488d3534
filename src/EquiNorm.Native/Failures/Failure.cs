using EquiNorm.Embedding;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Model;

namespace EquiNorm.Native.Failures;

/// <summary>What becomes of exceptions, none of which may cross the border.</summary>
internal static class Failure
{
    /// <summary>Keeps the text of a failure for this thread, and tells its status.</summary>
    public static Status Of(Exception exception)
    {
        var status = StatusOf(exception);
        try
        {
            LastError.Set(status == Status.Internal ? Describe(exception) : exception.Message);
        }
        catch (OutOfMemoryException)
        {
            LastError.SetOutOfMemory();
        }

        return status;
    }

    // What went wrong first is inside, where a type could not be initialised say.
    private static string Describe(Exception exception) =>
        $"{exception.GetType()}: {exception.Message}" + (exception.InnerException is { } inner ? $" <- {Describe(inner)}" : "");

    private static Status StatusOf(Exception exception) => exception switch
    {
        NativeException e => e.Status,
        TensorException e => StatusOf(e.Error),
        NetworkException => Status.InvalidNetwork,
        SessionBusyException => Status.Busy,
        OutOfMemoryException => Status.OutOfMemory,
        CudaException e => StatusOf(e.Kind),
        _ => Status.Internal,
    };

    private static Status StatusOf(TensorError error) => error switch
    {
        TensorError.UnknownName => Status.UnknownTensor,
        TensorError.WrongType => Status.WrongType,
        TensorError.WrongShape => Status.WrongShape,
        TensorError.WrongDevice => Status.WrongDevice,
        TensorError.NotBound => Status.NotBound,
        TensorError.NonFinite => Status.NonFinite,
        TensorError.OutOfRange => Status.OutOfRange,
        _ => Status.Internal,
    };

    private static Status StatusOf(CudaErrorKind kind) => kind switch
    {
        CudaErrorKind.NoDriver or CudaErrorKind.NoDevice or CudaErrorKind.UnsupportedDevice or CudaErrorKind.DriverTooOld =>
            Status.CudaUnavailable,
        CudaErrorKind.OutOfMemory => Status.OutOfMemory,
        CudaErrorKind.WrongContext => Status.WrongDevice,
        _ => Status.CudaError,
    };
}
