using EquiNorm.Cli.Json;

namespace EquiNorm.Cli.Text;

/// <summary>`equinorm devices` for people.</summary>
internal static class DevicesText
{
    /// <summary>Writes the list.</summary>
    public static void Write(DevicesDocument document, Page page)
    {
        if (document.Devices.Count > 0)
        {
            page.Table(
                ["Device", "Name", ">Memory", ">Compute capability", ">Multiprocessors", "Usable"],
                [.. document.Devices.Select(d => (string[])
                    [d.Device, d.Name, FormattableString.Invariant($"{d.MemoryBytes / (double)(1 << 30):0.0} GiB"), d.ComputeCapability, $"{d.Multiprocessors}", d.Supported ? "yes" : "no"])],
                "devices");
            foreach (var device in document.Devices.Where(d => !d.Supported))
            {
                page.Line($"{device.Device} cannot be used: {device.Reason}");
            }

            page.Gap();
        }

        if (document.Driver is { } driver)
        {
            page.Line($"The driver supports CUDA {driver}.");
        }

        if (document.Reason is { } reason)
        {
            page.Line($"No GPU: {reason.TrimEnd('.')}.");
        }

        page.Line($"'rescale' uses {(document.Auto == "cpu" ? "the CPU" : document.Auto)} unless --backend says otherwise.");
    }
}
