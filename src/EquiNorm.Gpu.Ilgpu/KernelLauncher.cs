using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Runtime;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>A kernel that was loaded onto an accelerator.</summary>
internal abstract class KernelLauncher;

/// <summary>A kernel that is launched with a parameter block of <see cref="EquiNorm.Gpu"/>.</summary>
internal abstract class KernelLauncher<TParameters> : KernelLauncher
    where TParameters : unmanaged
{
    public abstract void Launch(AcceleratorStream stream, KernelConfig config, in TParameters parameters, AddressSpace space);
}

/// <summary>A kernel, and how its arguments are made from the parameter block.</summary>
internal sealed class KernelLauncher<TParameters, TArguments> : KernelLauncher<TParameters>
    where TParameters : unmanaged
    where TArguments : struct
{
    private readonly Action<AcceleratorStream, KernelConfig, TArguments> _kernel;
    private readonly Conversion _convert;

    public KernelLauncher(Accelerator accelerator, Action<TArguments> kernel, Conversion convert)
    {
        // The bound lets the compiler use as many registers as a full group leaves, as in the PTX that was made ahead of time.
        _kernel = accelerator.LoadKernel(kernel, new KernelSpecialization(TileLimits.GroupSize, null));
        _convert = convert;
    }

    /// <summary>Makes views of addresses, field by field.</summary>
    public delegate TArguments Conversion(in TParameters parameters, AddressSpace space);

    public override void Launch(AcceleratorStream stream, KernelConfig config, in TParameters parameters, AddressSpace space) =>
        _kernel(stream, config, _convert(parameters, space));
}
