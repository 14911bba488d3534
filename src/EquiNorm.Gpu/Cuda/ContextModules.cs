using System.Collections.Concurrent;
using System.Runtime.InteropServices;
using System.Text;

namespace EquiNorm.Gpu.Cuda;

/// <summary>The kernels that are loaded in one context, each once, for all queues of the context.</summary>
internal sealed unsafe class ContextModules(CudaDriver driver, object key)
{
    private const int LogBytes = 16 << 10;

    private readonly ConcurrentDictionary<KernelId, LoadedKernel> _kernels = new();
    private readonly Lock _loading = new();

    /// <summary>What the cache knows this context by.</summary>
    public object Key { get; } = key;

    /// <summary>Queues; the cache counts them.</summary>
    public int Users { get; set; }

    /// <summary>A kernel that is loaded already, or null.</summary>
    public LoadedKernel? Find(KernelId kernel) => _kernels.GetValueOrDefault(kernel);

    /// <summary>Loads a kernel unless it is; the context must be current.</summary>
    public LoadedKernel Load(KernelId kernel, Func<KernelId, byte[]> images)
    {
        // The driver's compiler takes its time; kernels that are loaded are found without the lock.
        lock (_loading)
        {
            return Find(kernel) ?? (_kernels[kernel] = Compile(kernel, images(kernel)));
        }
    }

    /// <summary>Unloads everything; the context must be current. What cannot be unloaded went with the context.</summary>
    public void Unload()
    {
        foreach (var kernel in _kernels.Values)
        {
            driver.ModuleUnload(kernel.Module);
        }

        _kernels.Clear();
    }

    private LoadedKernel Compile(KernelId kernel, byte[] image)
    {
        if (image.Length == 0 || image[^1] != 0)
        {
            throw new ArgumentException($"The PTX of kernel '{kernel.Name}' does not end with a zero: the driver would read past its end.");
        }

        var entry = PtxEntry.NameOf(kernel, image);
        var module = LoadModule(kernel, image);
        try
        {
            nint function;
            fixed (byte* name = Encoding.ASCII.GetBytes(entry + "\0"))
            {
                var result = driver.ModuleGetFunction(&function, module, name);
                if (result == CudaResult.NotFound)
                {
                    throw CudaErrors.Of(
                        driver, result, "cuModuleGetFunction", CudaErrorKind.InvalidPtx, $"The kernel's PTX has no entry named '{kernel.Name}'.");
                }

                driver.Check(result, "cuModuleGetFunction");
            }

            if (driver.FuncLoad != null)
            {
                // With CUDA_MODULE_LOADING=LAZY a function may be loaded at its first launch, which could be inside a capture.
                driver.Check(driver.FuncLoad(function), "cuFuncLoad");
            }

            int most;
            driver.Check(driver.FuncGetAttribute(&most, FunctionAttribute.MaxThreadsPerBlock, function), "cuFuncGetAttribute");
            var (bytes, alignment) = PtxEntry.Parameters(image, entry)
                ?? throw new CudaException(CudaErrorKind.InvalidPtx, $"The parameters of kernel '{kernel.Name}' cannot be read from its PTX.");
            return new LoadedKernel(kernel, module, function, most, bytes, (bytes + alignment - 1) / alignment * alignment);
        }
        catch
        {
            driver.ModuleUnload(module);
            throw;
        }
    }

    private nint LoadModule(KernelId kernel, byte[] image)
    {
        var log = (byte*)NativeMemory.AllocZeroed(LogBytes);
        try
        {
            var options = stackalloc JitOption[] { JitOption.ErrorLogBuffer, JitOption.ErrorLogBufferSizeBytes };
            var values = stackalloc void*[] { log, (void*)LogBytes };
            nint module;
            CudaResult result;
            fixed (byte* text = image)
            {
                result = driver.ModuleLoadDataEx(&module, text, 2, options, values);
            }

            return result == CudaResult.Success ? module : throw Refused(kernel, image, result, Text(log));
        }
        finally
        {
            NativeMemory.Free(log);
        }
    }

    private CudaException Refused(KernelId kernel, byte[] image, CudaResult result, string log)
    {
        const string call = "cuModuleLoadDataEx";

        // A driver that is too old for the text's version says so as UNSUPPORTED_PTX_VERSION or, older, as INVALID_PTX and in the log.
        if (result == CudaResult.UnsupportedPtxVersion
            || (result == CudaResult.InvalidPtx && log.Contains("Unsupported .version", StringComparison.Ordinal)))
        {
            return CudaErrors.Of(
                driver,
                result,
                call,
                CudaErrorKind.DriverTooOld,
                $"Kernel '{kernel.Name}': {PtxVersion.NeededFor(PtxVersion.Declared(image) ?? PtxVersion.OfKernels)} {log}".TrimEnd());
        }

        var error = CudaErrors.Of(driver, result, call);
        return new CudaException(
            error.Kind, call, result, error.ErrorName!, $"Kernel '{kernel.Name}': {error.Message}{(log.Length > 0 ? $" The compiler says: {log}" : "")}");
    }

    // The buffer is one that the driver has written: its last byte is set to zero, whatever the driver thinks of terminators.
    private static string Text(byte* log)
    {
        log[LogBytes - 1] = 0;
        return Marshal.PtrToStringUTF8((nint)log)!.Trim();
    }
}
