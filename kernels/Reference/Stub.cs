// What every body in this assembly throws. See Indices.cs for what the assembly is.
namespace ILGPU;

internal static class Stub
{
    internal static NotSupportedException NotRunnable => new(
        "This assembly holds signatures only. Kernels run as compiled PTX, or through the real ILGPU package.");
}
