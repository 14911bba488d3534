using System.Text.Json;
using EquiNorm.Cli.Backends;
using EquiNorm.Cli.Json;
using EquiNorm.Cli.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Cli.Commands;

/// <summary>equinorm devices: the GPUs, and which of them can be used. No device is no failure.</summary>
internal static class DevicesCommand
{
    /// <summary>Runs the command.</summary>
    public static ExitCode Run(ResultFormat format, Streams streams, Gpus gpus)
    {
        var document = Describe(gpus.List());
        if (format == ResultFormat.Json)
        {
            streams.Out.WriteLine(JsonSerializer.Serialize(document, Documents.Default.DevicesDocument));
        }
        else
        {
            DevicesText.Write(document, Page.For(streams));
        }

        return ExitCode.Success;
    }

    private static DevicesDocument Describe(CudaDeviceList list) => new()
    {
        Driver = list.DriverVersion?.ToString(),
        Auto = BackendFactory.Automatic(list) is { } first ? $"cuda:{first.Index}" : "cpu",
        Reason = list.WhyEmpty,
        Devices = [.. list.Devices.Select(d => new DeviceDocument(
            $"cuda:{d.Index}", d.Name, d.TotalBytes, d.ComputeCapability.ToString(), d.Multiprocessors, d.IsSupported, d.WhyUnsupported))],
    };
}
