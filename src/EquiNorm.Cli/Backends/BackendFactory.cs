using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Gpu;
using EquiNorm.Gpu.Cuda;

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
        BackendKind.Ilgpu => throw new CliException(
            ExitCode.Usage,
            "This tool is built without the ILGPU queue, because it does not depend on the ILGPU package. Use --backend cuda (NVIDIA GPUs, no package needed) "
            + "or --backend cpu; programs that have ILGPU use EquiNorm.Gpu.Ilgpu."),
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
