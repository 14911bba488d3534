using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Ilgpu;

namespace EquiNorm.Cli.Backends;

/// <summary>Makes the backend that was asked for.</summary>
internal static class BackendFactory
{
    /// <summary>
    /// The backend. Only `auto` ever takes another one than the user named: the CPU, with a line on standard error if a GPU is there and
    /// fails, and without one if there is none.
    /// </summary>
    /// <exception cref="CliException">The backend is not there.</exception>
    /// <exception cref="CudaException">The device cannot be used.</exception>
    public static IBackend Create(BackendChoice choice, int threads, Gpus gpus, Streams streams) => choice.Kind switch
    {
        BackendKind.Cpu => new CpuBackend(threads),
        BackendKind.Cuda => OnDevice(choice.Device ?? FirstSupported(gpus.List()), gpus),
        BackendKind.Ilgpu => new GpuBackend(OnAccelerator(choice.Accelerator), TensorLocation.Host, ownsQueue: true),
        _ => Auto(threads, gpus, streams),
    };

    /// <summary>What `auto` takes: a device, or null for the CPU.</summary>
    public static CudaDevice? Automatic(CudaDeviceList list) => list.Devices.FirstOrDefault(d => d.IsSupported);

    private static IBackend Auto(int threads, Gpus gpus, Streams streams)
    {
        if (Automatic(gpus.List()) is { } device)
        {
            try
            {
                return OnDevice(device.Index, gpus);
            }
            catch (CudaException e)
            {
                streams.Error.WriteLine($"equinorm: cuda:{device.Index} {device.Name} cannot be used, the CPU is: {e.Message}");
            }
        }

        return new CpuBackend(threads);
    }

    // ILGPU reports what is missing in ways of its own: no driver, no such device, no package at build time.
    private static IlgpuQueue OnAccelerator(string name)
    {
        try
        {
            return IlgpuQueue.Open(name);
        }
        catch (ArgumentException e) when (e.ParamName == "device")
        {
            throw new CliException(ExitCode.Usage, $"--backend ilgpu:{name}: {e.Message}", e);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            throw new CliException(
                ExitCode.Device, $"--backend ilgpu:{name}: {e.Message.TrimEnd('.')}. Nothing was written; --backend cuda or --backend cpu need no ILGPU.", e);
        }
    }

    private static GpuBackend OnDevice(int index, Gpus gpus) => new(gpus.Open(index), TensorLocation.Host, ownsQueue: true);

    private static int FirstSupported(CudaDeviceList list)
    {
        if (Automatic(list) is { } device)
        {
            return device.Index;
        }

        string why = list.WhyEmpty is { } reason
            ? $"--backend cuda: {reason.TrimEnd('.')}."
            : string.Join(" ", list.Devices.Select(d => $"cuda:{d.Index} {d.Name} cannot be used: {d.WhyUnsupported}"));
        throw new CliException(ExitCode.Device, $"{why} Nothing was written; --backend cpu does the same without a GPU.");
    }
}
