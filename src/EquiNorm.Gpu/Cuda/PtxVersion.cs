using System.Globalization;

namespace EquiNorm.Gpu.Cuda;

/// <summary>
/// Which driver a version of PTX needs. The table is that of the PTX ISA's release notes, as CCCL's ptx_isa.h and cuda-python's
/// _ptx_utils.py have it; there is no PTX 8.6 with a toolkit of its own.
/// </summary>
internal static class PtxVersion
{
    private static readonly (Version Ptx, Version Cuda, int Driver)[] Releases =
    [
        (new(7, 3), new(11, 3), 465),
        (new(7, 4), new(11, 4), 470),
        (new(7, 5), new(11, 5), 495),
        (new(7, 6), new(11, 6), 510),
        (new(7, 7), new(11, 7), 515),
        (new(7, 8), new(11, 8), 520),
        (new(8, 0), new(12, 0), 525),
        (new(8, 1), new(12, 1), 530),
        (new(8, 2), new(12, 2), 535),
        (new(8, 3), new(12, 3), 545),
        (new(8, 4), new(12, 4), 550),
        (new(8, 5), new(12, 5), 555),
        (new(8, 7), new(12, 8), 570),
    ];

    /// <summary>What the kernels are compiled to.</summary>
    public static Version OfKernels { get; } = new(7, 8);

    /// <summary>The CUDA version that a driver must support to run the kernels.</summary>
    public static Version CudaForKernels { get; } = Array.Find(Releases, release => release.Ptx == OfKernels).Cuda;

    /// <summary>What a driver must be to run the kernels, as a sentence.</summary>
    public static string Needed => NeededFor(OfKernels);

    /// <summary>What a driver must be to load a version of PTX, as a sentence.</summary>
    public static string NeededFor(Version ptx)
    {
        foreach (var release in Releases)
        {
            if (release.Ptx == ptx)
            {
                return $"The kernels are PTX {ptx}, which needs a driver for CUDA {release.Cuda} or newer (version {release.Driver} or above): "
                    + "update the driver.";
            }
        }

        return $"The kernels are PTX {ptx}, which needs a newer driver: update it.";
    }

    /// <summary>The version that a PTX text declares, or null.</summary>
    public static Version? Declared(ReadOnlySpan<byte> ptx)
    {
        var start = ptx.IndexOf(".version "u8);
        if (start < 0)
        {
            return null;
        }

        var rest = ptx[(start + ".version ".Length)..];
        var length = rest.IndexOfAnyExcept("0123456789."u8);
        var text = length < 0 ? rest : rest[..length];
        var point = text.IndexOf((byte)'.');
        return point > 0
            && int.TryParse(text[..point], NumberStyles.None, CultureInfo.InvariantCulture, out var major)
            && int.TryParse(text[(point + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out var minor)
            ? new Version(major, minor)
            : null;
    }
}
