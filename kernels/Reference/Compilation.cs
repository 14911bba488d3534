// Signatures only, see Indices.cs. This file: the compiler of kernels, the name of a kernel's entry, and PTX written by hand.
using System.Reflection;
using ILGPU.Backends.EntryPoints;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;
using ILGPU.Util;

namespace ILGPU
{
    public enum OptimizationLevel
    {
        O0 = 0,
        O1 = 1,
        O2 = 2,
    }

    public abstract class ContextProperties
    {
    }

    public sealed class Context : DisposeBase
    {
        internal Context() => throw Stub.NotRunnable;

        public static Context Create(Action<Builder> buildingCallback) => throw Stub.NotRunnable;

        public sealed class Builder : ContextProperties
        {
            internal Builder() => throw Stub.NotRunnable;

            public Builder Optimize(OptimizationLevel level) => throw Stub.NotRunnable;
        }
    }
}

namespace ILGPU.Backends
{
    public abstract class CompiledKernel
    {
        public string Name => throw Stub.NotRunnable;
    }

    public abstract class Backend : DisposeBase
    {
        public CompiledKernel Compile(in EntryPointDescription entry, in KernelSpecialization specialization) => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Backends.PTX
{
    public sealed class PTXBackend : Backend
    {
        public PTXBackend(
            Context context,
            CudaCapabilityContext capabilities,
            CudaArchitecture architecture,
            CudaInstructionSet instructionSet,
            NvvmAPI? nvvmAPI) => throw Stub.NotRunnable;
    }

    public sealed class PTXCompiledKernel : CompiledKernel
    {
        internal PTXCompiledKernel() => throw Stub.NotRunnable;

        public string PTXAssembly => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Backends.EntryPoints
{
    [AttributeUsage(AttributeTargets.Method, AllowMultiple = false)]
    public sealed class KernelNameAttribute : Attribute
    {
        // The one constructor that does not throw: reading a kernel's attributes by reflection runs it.
        public KernelNameAttribute(string kernelName) => KernelName = kernelName;

        public string KernelName { get; }
    }

    public readonly struct EntryPointDescription
    {
        public static EntryPointDescription FromExplicitlyGroupedKernel(MethodInfo methodSource) => throw Stub.NotRunnable;
    }
}

namespace ILGPU.Runtime.Cuda
{
    public abstract class NvvmAPI
    {
    }

    public sealed class CudaCapabilityContext
    {
        public CudaCapabilityContext(CudaArchitecture arch) => throw Stub.NotRunnable;
    }

    public readonly struct CudaArchitecture
    {
        public static readonly CudaArchitecture SM_80;
    }

    public readonly struct CudaInstructionSet
    {
        public static readonly CudaInstructionSet ISA_78;
    }

    public static class CudaAsm
    {
        public static bool IsSupported => throw Stub.NotRunnable;

        public static void Emit(string asm) => throw Stub.NotRunnable;

        public static void Emit<T0>(string asm, out T0 arg0)
            where T0 : struct => throw Stub.NotRunnable;

        public static void Emit<T0, T1>(string asm, out T0 arg0, T1 arg1)
            where T0 : struct
            where T1 : struct => throw Stub.NotRunnable;

        public static void Emit<T0, T1, T2>(string asm, out T0 arg0, T1 arg1, T2 arg2)
            where T0 : struct
            where T1 : struct
            where T2 : struct => throw Stub.NotRunnable;

        public static void Emit<T0, T1, T2, T3>(string asm, out T0 arg0, T1 arg1, T2 arg2, T3 arg3)
            where T0 : struct
            where T1 : struct
            where T2 : struct
            where T3 : struct => throw Stub.NotRunnable;

        public static void EmitRef<T0>(string asm, ref T0 arg0)
            where T0 : struct, ICudaAsmEmitParameter => throw Stub.NotRunnable;

        public static void EmitRef<T0, T1>(string asm, ref T0 arg0, ref T1 arg1)
            where T0 : struct, ICudaAsmEmitParameter
            where T1 : struct, ICudaAsmEmitParameter => throw Stub.NotRunnable;

        public static void EmitRef<T0, T1, T2>(string asm, ref T0 arg0, ref T1 arg1, ref T2 arg2)
            where T0 : struct, ICudaAsmEmitParameter
            where T1 : struct, ICudaAsmEmitParameter
            where T2 : struct, ICudaAsmEmitParameter => throw Stub.NotRunnable;

        public static void EmitRef<T0, T1, T2, T3, T4>(
            string asm, ref T0 arg0, ref T1 arg1, ref T2 arg2, ref T3 arg3, ref T4 arg4)
            where T0 : struct, ICudaAsmEmitParameter
            where T1 : struct, ICudaAsmEmitParameter
            where T2 : struct, ICudaAsmEmitParameter
            where T3 : struct, ICudaAsmEmitParameter
            where T4 : struct, ICudaAsmEmitParameter => throw Stub.NotRunnable;
    }

    public interface ICudaAsmEmitParameter
    {
    }

    public struct Input<T> : ICudaAsmEmitParameter
        where T : struct
    {
        public T Value;

        public static implicit operator Input<T>(T v) => throw Stub.NotRunnable;
    }

    public struct Output<T> : ICudaAsmEmitParameter
        where T : struct
    {
        public T Value;
    }
}
