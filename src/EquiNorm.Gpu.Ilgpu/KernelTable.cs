using System.Runtime.CompilerServices;
using EquiNorm.Gpu.Kernels;
using EquiNorm.Model;
using ILGPU.Runtime;

namespace EquiNorm.Gpu.Ilgpu;

/// <summary>The kernels of one accelerator, each loaded when it is first asked for and kept as long as the accelerator.</summary>
internal sealed class KernelTable
{
    private static readonly ConditionalWeakTable<Accelerator, KernelTable> Tables = [];
    private static readonly Func<Accelerator, KernelLauncher>[] Loaders = CreateLoaders();

    private readonly Lock _lock = new();
    private readonly KernelLauncher?[] _launchers = new KernelLauncher?[Loaders.Length];
    private readonly Accelerator _accelerator;

    private KernelTable(Accelerator accelerator) => _accelerator = accelerator;

    /// <summary>The kernel, compiled for the accelerator.</summary>
    public KernelLauncher this[KernelId kernel] => Volatile.Read(ref _launchers[kernel.Index]) ?? Load(kernel);

    /// <summary>The table of an accelerator: one for all its queues, because compiling takes longer than most launches.</summary>
    public static KernelTable Of(Accelerator accelerator) => Tables.GetValue(accelerator, a => new KernelTable(a));

    private KernelLauncher Load(KernelId kernel)
    {
        lock (_lock)
        {
            return _launchers[kernel.Index] ??= Loaders[kernel.Index](_accelerator);
        }
    }

    private static Func<Accelerator, KernelLauncher>[] CreateLoaders()
    {
        var loaders = new Func<Accelerator, KernelLauncher>[KernelCatalog.All.Count];
        Sum<float, Float4>(PowerFormula.Absolute, ElementType.Float32, SumKernels.AbsoluteFloat32);
        Sum<float, Float4>(PowerFormula.Square, ElementType.Float32, SumKernels.SquareFloat32);
        Sum<float, Float4>(PowerFormula.Power, ElementType.Float32, SumKernels.PowerFloat32);
        Sum<double, Double4>(PowerFormula.Absolute, ElementType.Float64, SumKernels.AbsoluteFloat64);
        Sum<double, Double4>(PowerFormula.Square, ElementType.Float64, SumKernels.SquareFloat64);
        Sum<double, Double4>(PowerFormula.Power, ElementType.Float64, SumKernels.PowerFloat64);
        Sum<ushort, Packed4>(PowerFormula.Absolute, ElementType.Float16, SumKernels.AbsoluteFloat16);
        Sum<ushort, Packed4>(PowerFormula.Square, ElementType.Float16, SumKernels.SquareFloat16);
        Sum<ushort, Packed4>(PowerFormula.Power, ElementType.Float16, SumKernels.PowerFloat16);
        Sum<ushort, Packed4>(PowerFormula.Absolute, ElementType.BFloat16, SumKernels.AbsoluteBFloat16);
        Sum<ushort, Packed4>(PowerFormula.Square, ElementType.BFloat16, SumKernels.SquareBFloat16);
        Sum<ushort, Packed4>(PowerFormula.Power, ElementType.BFloat16, SumKernels.PowerBFloat16);
        Sum<float, Float4>(PowerFormula.Largest, ElementType.Float32, SumKernels.LargestFloat32);
        Sum<double, Double4>(PowerFormula.Largest, ElementType.Float64, SumKernels.LargestFloat64);
        Sum<ushort, Packed4>(PowerFormula.Largest, ElementType.Float16, SumKernels.LargestFloat16);
        Sum<ushort, Packed4>(PowerFormula.Largest, ElementType.BFloat16, SumKernels.LargestBFloat16);
        Scale<float, Float4>(ElementType.Float32, ScaleKernels.Float32);
        Scale<double, Double4>(ElementType.Float64, ScaleKernels.Float64);
        Scale<ushort, Packed4>(ElementType.Float16, ScaleKernels.Float16);
        Scale<ushort, Packed4>(ElementType.BFloat16, ScaleKernels.BFloat16);
        Largest<float>(ElementType.Float32, LargestKernels.Float32);
        Largest<double>(ElementType.Float64, LargestKernels.Float64);
        Largest<ushort>(ElementType.Float16, LargestKernels.Float16);
        Largest<ushort>(ElementType.BFloat16, LargestKernels.BFloat16);
        Add<UpdateParameters, UpdateArguments>(KernelCatalog.UpdateChannels, UpdateChannels.Run, Arguments.Update);
        Add<DeadParameters, DeadArguments>(KernelCatalog.FindDeadChannels, FindDeadChannels.Run, Arguments.Dead);
        Add<CoarseParameters, CoarseArguments>(KernelCatalog.CorrectGroups, CorrectGroups.Run, Arguments.Coarse);
        return loaders;

        void Sum<TScalar, TQuad>(PowerFormula formula, ElementType type, Action<SumArguments<TScalar, TQuad>> kernel)
            where TScalar : unmanaged
            where TQuad : unmanaged =>
            Add<SumParameters, SumArguments<TScalar, TQuad>>(KernelCatalog.Sum(formula, type), kernel, Arguments.Sum<TScalar, TQuad>);

        void Scale<TScalar, TQuad>(ElementType type, Action<ScaleArguments<TScalar, TQuad>> kernel)
            where TScalar : unmanaged
            where TQuad : unmanaged =>
            Add<ScaleParameters, ScaleArguments<TScalar, TQuad>>(KernelCatalog.Scale(type), kernel, Arguments.Scale<TScalar, TQuad>);

        void Largest<TScalar>(ElementType type, Action<LargestArguments<TScalar>> kernel)
            where TScalar : unmanaged =>
            Add<LargestParameters, LargestArguments<TScalar>>(KernelCatalog.Largest(type), kernel, Arguments.Largest<TScalar>);

        void Add<TParameters, TArguments>(
            KernelId id, Action<TArguments> kernel, KernelLauncher<TParameters, TArguments>.Conversion convert)
            where TParameters : unmanaged
            where TArguments : struct =>
            loaders[id.Index] = accelerator => new KernelLauncher<TParameters, TArguments>(accelerator, kernel, convert);
    }
}
