using System.Reflection;

namespace EquiNorm.Gpu;

/// <summary>The kernels' PTX, as embedded in this assembly.</summary>
public static class KernelImages
{
    /// <summary>The text of a kernel's PTX, in ASCII, with a zero at the end as drivers want it.</summary>
    /// <exception cref="InvalidOperationException">The assembly was built without the kernel.</exception>
    public static byte[] Ptx(KernelId kernel)
    {
        using var stream = Assembly.GetExecutingAssembly().GetManifestResourceStream(kernel.Name + ".ptx")
            ?? throw new InvalidOperationException($"The assembly holds no PTX for kernel '{kernel.Name}'.");
        var image = new byte[stream.Length + 1];
        stream.ReadExactly(image, 0, image.Length - 1);
        return image;
    }
}
