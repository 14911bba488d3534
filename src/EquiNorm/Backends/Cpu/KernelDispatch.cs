// From run-time values (vector width, element type, formula) to struct type arguments, once per kernel call: the
// callee is then one straight loop for that combination.

using System.Runtime.Intrinsics;
using EquiNorm.Model;

namespace EquiNorm.Backends.Cpu;

/// <summary>A kernel over elements, not yet specialised.</summary>
internal interface IElementKernel
{
    void Run<TLanes, TVector, TElement>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
        where TElement : struct, IElement;
}

/// <summary>A kernel over energies, not yet specialised.</summary>
internal interface ILaneKernel
{
    void Run<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged;
}

internal static class KernelDispatch
{
    public static void Run<TKernel>(ref TKernel kernel, VectorWidth width)
        where TKernel : struct, ILaneKernel, allows ref struct
    {
        switch (width)
        {
            case VectorWidth.Bits512:
                kernel.Run<Lanes512, Vector512<double>>();
                break;
            case VectorWidth.Bits256:
                kernel.Run<Lanes256, Vector256<double>>();
                break;
            case VectorWidth.Bits128:
                kernel.Run<Lanes128, Vector128<double>>();
                break;
            default:
                kernel.Run<LanesScalar, double>();
                break;
        }
    }

    public static void Run<TKernel>(ref TKernel kernel, VectorWidth width, ElementType type)
        where TKernel : struct, IElementKernel, allows ref struct
    {
        switch (width)
        {
            case VectorWidth.Bits512:
                Run<TKernel, Lanes512, Vector512<double>>(ref kernel, type);
                break;
            case VectorWidth.Bits256:
                Run<TKernel, Lanes256, Vector256<double>>(ref kernel, type);
                break;
            case VectorWidth.Bits128:
                Run<TKernel, Lanes128, Vector128<double>>(ref kernel, type);
                break;
            default:
                Run<TKernel, LanesScalar, double>(ref kernel, type);
                break;
        }
    }

    public static void Run<TKernel, TLanes, TVector>(ref TKernel kernel, ElementType type)
        where TKernel : struct, IElementKernel, allows ref struct
        where TLanes : struct, ILanes<TVector>
        where TVector : unmanaged
    {
        switch (type)
        {
            case ElementType.Float32:
                kernel.Run<TLanes, TVector, Float32Element>();
                break;
            case ElementType.Float64:
                kernel.Run<TLanes, TVector, Float64Element>();
                break;
            case ElementType.Float16:
                kernel.Run<TLanes, TVector, Float16Element>();
                break;
            case ElementType.BFloat16:
                kernel.Run<TLanes, TVector, BFloat16Element>();
                break;
            default:
                throw new ArgumentOutOfRangeException(nameof(type), type, "Unknown element type.");
        }
    }
}
