// kernels/Ptx is what the compiler makes of kernels/ today: nobody changed a kernel and forgot its PTX.
using System.Reflection;
using System.Text;
using EquiNorm.Gpu.Kernels.Compiler;
using NUnit.Framework;

namespace EquiNorm.Gpu.Kernels.Tests;

[TestFixture]
internal sealed class CommittedPtxTests
{
    private static readonly string Folder = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, Metadata("KernelPtx")));

    private static IEnumerable<string> Names => PtxCompiler.Kernels.Select(k => k.Name);

    [TestCaseSource(nameof(Names))]
    public void The_committed_ptx_is_the_compilers_own(string kernel)
    {
        if (Metadata("IlgpuAvailable") != "true")
        {
            Assert.Ignore("The package sources of this build do not have ILGPU: nothing can compile the kernels.");
        }

        var compiled = Encoding.ASCII.GetBytes(PtxCompiler.Compile(PtxCompiler.Kernels.Single(k => k.Name == kernel).Method));
        var committed = File.ReadAllBytes(Path.Combine(Folder, kernel + ".ptx"));
        Assert.That(
            compiled.AsSpan().SequenceEqual(committed),
            $"{kernel}.ptx is not what its source compiles to: dotnet run -c Release --project kernels/Compiler -- kernels/Ptx");
    }

    [Test]
    public void Each_kernel_has_a_file_and_each_file_a_kernel() =>
        Assert.That(Directory.GetFiles(Folder, "*.ptx").Select(Path.GetFileNameWithoutExtension), Is.EquivalentTo(Names));

    private static string Metadata(string key) =>
        typeof(CommittedPtxTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
