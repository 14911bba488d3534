using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>What has to be said beside every figure. Nothing that names the machine or its users.</summary>
internal static class MachineFacts
{
    /// <summary>Asks the machine.</summary>
    public static BenchMachine Of(CudaDevice device, CudaDeviceList list) => new()
    {
        Device = device.Name,
        ComputeCapability = device.ComputeCapability.ToString(),
        Multiprocessors = device.Multiprocessors,
        MemoryBytes = device.TotalBytes,
        Cuda = list.DriverVersion?.ToString() ?? "unknown",
        Driver = FirstLine("/sys/module/nvidia/version"),
        Processor = Processor(),
        Threads = Environment.ProcessorCount,
        Runtime = RuntimeInformation.FrameworkDescription,
        System = RuntimeInformation.OSDescription,
        Commit = Build.Commit,
        Date = DateTime.UtcNow,
    };

    private static string Processor()
    {
        const string info = "/proc/cpuinfo";
        var line = File.Exists(info) ? File.ReadLines(info).FirstOrDefault(l => l.StartsWith("model name", StringComparison.Ordinal)) : null;
        return line?.Split(':')[1].Trim() ?? RuntimeInformation.ProcessArchitecture.ToString();
    }

    private static string? FirstLine(string file)
    {
        try
        {
            return File.Exists(file) ? File.ReadLines(file).FirstOrDefault()?.Trim() : null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
