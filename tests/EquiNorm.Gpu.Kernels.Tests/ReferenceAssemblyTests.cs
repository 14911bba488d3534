// kernels/Reference against the ILGPU package: each public type and member that we declare exists there with the same signature.
// The other direction does not hold and need not: the reference declares only what the kernels use.
using System.Reflection;
using System.Runtime.Loader;
using ILGPU;
using NUnit.Framework;

namespace EquiNorm.Gpu.Kernels.Tests;

[TestFixture]
internal sealed class ReferenceAssemblyTests
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    [Test]
    public void Each_signature_is_the_packages_own()
    {
        if (Metadata("IlgpuAvailable") != "true")
        {
            Assert.Inconclusive("The package sources of this build do not have ILGPU: there is nothing to compare the signatures with.");
        }

        var package = typeof(Index1D).Assembly;
        var context = new AssemblyLoadContext("reference", isCollectible: true);
        var reference = context.LoadFromAssemblyPath(Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, Metadata("IlgpuReference"))));
        Assert.That(package.GetName().Version!.ToString(3), Is.EqualTo("1.5.3"));

        var differences = reference.GetExportedTypes().SelectMany(type => Differences(type, package)).ToList();
        context.Unload();
        Assert.That(differences, Is.Empty);
    }

    private static IEnumerable<string> Differences(Type declared, Assembly package)
    {
        if (package.GetType(declared.FullName!) is not { } real)
        {
            return [$"no type {declared}"];
        }

        var missing = Signatures(declared).Except(Signatures(real)).Select(s => $"{declared}: no {s}");
        string kind = Kind(declared), realKind = Kind(real);
        return kind == realKind ? missing : missing.Append($"{declared} is {realKind}, not {kind}");
    }

    private static string Kind(Type type) =>
        $"{(type.IsInterface ? "interface" : type.IsValueType ? "struct" : "class")}{(type.IsAbstract && type.IsSealed ? " static" : "")} <{Constraints(type.GetGenericArguments())}>";

    private static IEnumerable<string> Signatures(Type type) =>
        type.GetMembers(Declared).Where(m => m is FieldInfo or MethodBase).Select(member => member switch
        {
            MethodBase method => $"{(method.IsStatic ? "static " : "")}{method} "
                + $"({string.Join(", ", method.GetParameters().Select(p => (p.IsOut ? "out " : "") + p.Name))}) "
                + $"<{(method.IsGenericMethod ? Constraints(method.GetGenericArguments()) : "")}>",
            _ => member.ToString()!,
        });

    private static string Constraints(Type[] parameters) =>
        string.Join("; ", parameters.Where(p => p.IsGenericParameter).Select(
            p => $"{p.Name}: {p.GenericParameterAttributes} {string.Join(", ", p.GetGenericParameterConstraints().Select(c => c.ToString()))}"));

    private static string Metadata(string key) =>
        typeof(ReferenceAssemblyTests).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == key).Value!;
}
