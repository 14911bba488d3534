// The committed PTX belongs to the committed sources. Needs no compiler: hashes are compared.
using System.Reflection;
using System.Text.Json;
using EquiNorm.Gpu.Kernels.Compiler;
using NUnit.Framework;

namespace EquiNorm.Gpu.Kernels.Tests;

[TestFixture]
internal sealed class ManifestTests
{
    private const string Repair = "run: dotnet run -c Release --project kernels/Compiler -- kernels/Ptx";

    private static readonly string Folder = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, Metadata("KernelPtx")));
    private static readonly JsonElement Manifest = JsonDocument.Parse(File.ReadAllText(Path.Combine(Folder, "manifest.json"))).RootElement;

    private static IEnumerable<string> Names => Manifest.GetProperty("kernels").EnumerateArray().Select(k => k.GetProperty("name").GetString()!);

    private static IEnumerable<string> Streaming => Names.Where(
        n => (n.StartsWith("Sum", StringComparison.Ordinal) || n.StartsWith("Scale", StringComparison.Ordinal))
            && !n.EndsWith("Float64", StringComparison.Ordinal));

    [Test]
    public void The_ptx_was_made_from_the_sources_as_they_are() =>
        Assert.That(Manifest.GetProperty("sources").GetString(), Is.EqualTo(KernelSources.Hash(Path.Combine(Folder, ".."))), Repair);

    [TestCaseSource(nameof(Names))]
    public void A_file_is_what_the_manifest_says(string name)
    {
        var ptx = File.ReadAllText(Path.Combine(Folder, name + ".ptx"));
        var kernel = Manifest.GetProperty("kernels").EnumerateArray().Single(k => k.GetProperty("name").GetString() == name);
        var report = PtxReport.Of(ptx);
        Assert.Multiple(() =>
        {
            Assert.That(kernel.GetProperty("ptx").GetString(), Is.EqualTo(KernelSources.HashText(ptx)), Repair);
            Assert.That(kernel.GetProperty("entry").GetString(), Is.EqualTo(report.Entry));
            Assert.That(kernel.GetProperty("parameterBytes").GetInt32(), Is.EqualTo(report.ParameterBytes));
        });
    }

    [TestCaseSource(nameof(Names))]
    public void A_kernel_has_no_local_memory_and_no_branch_that_claims_to_be_uniform(string name)
    {
        var report = PtxReport.Of(File.ReadAllText(Path.Combine(Folder, name + ".ptx")));
        Assert.That((report.LocalAccesses, report.UniformBranches), Is.EqualTo((0, 0)));
        Assert.That(report.SharedBytes, Is.LessThanOrEqualTo(48 * 1024), "the limit of static shared memory");
    }

    // Tables are read by vectors too: what counts is what the same kernel for float64 does not have, whose elements are read one by one.
    // Four parts of a row at a time and the rest of the row make five loads; the fused pass has four rows besides.
    [TestCaseSource(nameof(Streaming))]
    public void A_streaming_kernel_loads_vectors(string name)
    {
        int Loads(string kernel) => PtxReport.Of(File.ReadAllText(Path.Combine(Folder, kernel + ".ptx"))).VectorLoads;
        var type = name[^"Float32".Length..];
        var sibling = name.Replace(name.Contains("BFloat16", StringComparison.Ordinal) ? "BFloat16" : type, "Float64", StringComparison.Ordinal);
        Assert.That(Loads(name) - Loads(sibling), Is.GreaterThanOrEqualTo(name.StartsWith("Sum", StringComparison.Ordinal) ? 12 : 5));
    }

    private static string Metadata(string key) =>
        typeof(ManifestTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
