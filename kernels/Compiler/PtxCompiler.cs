using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using EquiNorm.Gpu.Tables;
using ILGPU;
using ILGPU.Backends.EntryPoints;
using ILGPU.Backends.PTX;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace EquiNorm.Gpu.Kernels.Compiler;

/// <summary>Compiles the kernels ahead of time.</summary>
internal static partial class PtxCompiler
{
    /// <summary>Every kernel: the public static methods that carry a name.</summary>
    public static IEnumerable<(string Name, MethodInfo Method)> Kernels =>
        from type in typeof(SumKernels).Assembly.GetTypes()
        from method in type.GetMethods(BindingFlags.Public | BindingFlags.Static)
        let name = method.GetCustomAttribute<KernelNameAttribute>()
        where name is not null
        orderby name.KernelName
        select (name.KernelName, method);

    /// <summary>Compiles a kernel.</summary>
    public static string Compile(MethodInfo method)
    {
        // A failed compilation poisons the context, so each kernel has its own.
        using var context = Context.Create(b => b.Optimize(OptimizationLevel.O2));
        using var backend = new PTXBackend(
            context, new CudaCapabilityContext(CudaArchitecture.SM_80), CudaArchitecture.SM_80, CudaInstructionSet.ISA_78, nvvmAPI: null);
        var description = EntryPointDescription.FromExplicitlyGroupedKernel(method);
        var kernel = (PTXCompiledKernel)backend.Compile(description, new KernelSpecialization(TileLimits.GroupSize, null));
        return Mend(kernel.PTXAssembly);
    }

    /// <summary>Compiles all kernels, and writes what they were made of.</summary>
    /// <param name="folder">Where to; kernels/Ptx.</param>
    public static int Run(string folder)
    {
        Directory.CreateDirectory(folder);
        var manifest = new StringBuilder();
        manifest.Append("{\n");
        manifest.Append($"  \"compiler\": \"ILGPU {typeof(Context).Assembly.GetName().Version!.ToString(3)}\",\n");
        manifest.Append("  \"target\": \"sm_80\",\n  \"isa\": \"7.8\",\n  \"optimization\": \"O2\",\n");
        manifest.Append($"  \"sources\": \"{KernelSources.Hash(Path.Combine(folder, ".."))}\",\n  \"kernels\": [\n");
        var lines = new List<string>();
        foreach (var (name, method) in Kernels)
        {
            var ptx = Compile(method);
            File.WriteAllText(Path.Combine(folder, name + ".ptx"), ptx);
            var report = PtxReport.Of(ptx);
            Console.WriteLine($"{name}: {ptx.Length} bytes, {report}");
            lines.Add(
                $"    {{ \"name\": \"{name}\", \"entry\": \"{report.Entry}\", \"ptx\": \"{KernelSources.HashText(ptx)}\", \"parameterBytes\": {report.ParameterBytes}, "
                + $"\"sharedBytes\": {report.SharedBytes}, \"vectorLoads\": {report.VectorLoads}, \"localAccesses\": {report.LocalAccesses} }}");
        }

        manifest.Append(string.Join(",\n", lines));
        manifest.Append("\n  ]\n}\n");
        File.WriteAllText(Path.Combine(folder, "manifest.json"), manifest.ToString());
        return 0;
    }

    // ILGPU marks branches as uniform that are not (conditions that come from atomics and inline assembly), and assemblers rely on it.
    private static string Mend(string ptx) => UniformBranch().Replace(ptx.ReplaceLineEndings("\n"), "$1bra");

    [GeneratedRegex(@"(@!?%p\d+ )bra\.uni")]
    private static partial Regex UniformBranch();
}
