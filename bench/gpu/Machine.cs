using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Bench;

/// <summary>What was built.</summary>
internal static class Build
{
    /// <summary>Version and commit; pack.sh says "-dirty" behind the commit of a changed tree.</summary>
    public static string Version { get; } =
        typeof(Build).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>The commit, as far as the build knew it.</summary>
    public static string Commit => Version.Split('+') is [_, var commit] ? commit : "unknown";
}

/// <summary>Which GPU is used.</summary>
internal static class Devices
{
    /// <summary>The device of a number, or the first that can be used.</summary>
    public static bool Find(int? index, [NotNullWhen(true)] out CudaDevice? device, [NotNullWhen(false)] out string? reason) =>
        Find(CudaDevices.List(), index, out device, out reason);

    /// <summary>As above, of a given list.</summary>
    public static bool Find(CudaDeviceList list, int? index, [NotNullWhen(true)] out CudaDevice? device, [NotNullWhen(false)] out string? reason)
    {
        device = list.Devices.FirstOrDefault(d => index is { } i ? d.Index == i : d.IsSupported);
        reason = device switch
        {
            { IsSupported: true } => null,
            { } d => $"cuda:{d.Index} {d.Name} cannot be used: {d.WhyUnsupported}",
            null => list.WhyEmpty is { } why ? $"{why.TrimEnd('.')}."
                : index is { } i ? $"there is no device {i}."
                : string.Join(" ", list.Devices.Select(d => $"cuda:{d.Index} {d.Name} cannot be used: {d.WhyUnsupported}")),
        };
        return reason is null && device is not null;
    }
}
