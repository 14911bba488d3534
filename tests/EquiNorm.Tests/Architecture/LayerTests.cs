// The arrows inside the core: Embedding -> Solve -> Backends -> Plan -> Problem -> Model. A layer is a namespace and the folder of the same name.
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Architecture;

[TestFixture]
internal sealed partial class LayerTests
{
    private static readonly Dictionary<string, string[]> MayUse = new()
    {
        ["EquiNorm.Model"] = [],
        ["EquiNorm.Description"] = ["EquiNorm.Model"],
        ["EquiNorm.Problem"] = ["EquiNorm.Model"],
        ["EquiNorm.Plan"] = ["EquiNorm.Problem", "EquiNorm.Model"],
        ["EquiNorm.Backends"] = ["EquiNorm.Plan", "EquiNorm.Problem", "EquiNorm.Model"],
        ["EquiNorm.Backends.Cpu"] = ["EquiNorm.Backends", "EquiNorm.Plan", "EquiNorm.Problem", "EquiNorm.Model"],
        ["EquiNorm.Quantization"] = ["EquiNorm.Backends.Cpu", "EquiNorm.Plan", "EquiNorm.Problem", "EquiNorm.Model"],
        ["EquiNorm.Solve"] = ["EquiNorm.Backends", "EquiNorm.Plan", "EquiNorm.Problem", "EquiNorm.Model"],
        ["EquiNorm.Embedding"] = ["EquiNorm.Solve", "EquiNorm.Backends", "EquiNorm.Plan", "EquiNorm.Problem", "EquiNorm.Model"],
    };

    // The public entry points that choose the CPU when the caller names no backend. Each entry is a type and the file of that name.
    private static readonly string[] MayChooseTheCpu = ["EquiNorm.Solve.RescalingSolver"];

    private static readonly Assembly Core = typeof(ElementType).Assembly;

    [Test]
    public void Each_type_of_the_core_lies_in_a_layer_and_uses_only_layers_below()
    {
        var wrong = new List<string>();
        foreach (var type in Core.GetTypes().Where(t => !IsSynthesized(t)))
        {
            string from = type.Namespace ?? "";
            if (!MayUse.ContainsKey(from))
            {
                wrong.Add($"{type} lies in no layer; if '{from}' is meant to be one, give it a place in this test and in the architecture");
                continue;
            }

            wrong.AddRange(TypeUses.Of(type)
                .Where(used => !IsSynthesized(used) && !IsAllowed(from, Outermost(type).FullName!, used.Namespace ?? ""))
                .Select(used => $"{type} uses {used}"));
        }

        Assert.That(wrong, Is.Empty);
    }

    // Constants and members of enums leave no trace in IL: the using directives cover them.
    [Test]
    public void Each_file_of_the_core_imports_only_layers_below()
    {
        var wrong = new List<string>();
        foreach (string file in Repository.Sources.Where(f => f.StartsWith("src/EquiNorm/", StringComparison.Ordinal)))
        {
            string text = Repository.Read(file);
            string from = NamespaceLine().Match(text).Groups["name"].Value;
            string folder = Path.GetDirectoryName(file)!.Replace('\\', '/')["src/".Length..].Replace('/', '.');
            if (from != "" && from != folder)
            {
                wrong.Add($"{file} declares namespace {from}");
            }

            string type = $"{from}.{Path.GetFileNameWithoutExtension(file).Split('.')[0]}";
            wrong.AddRange(UsingLine().Matches(text)
                .Select(m => m.Groups["name"].Value)
                .Where(name => !IsAllowed(folder, type, LayerOf(name)))
                .Select(name => $"{file} imports {name}"));
        }

        Assert.That(wrong, Is.Empty);
    }

    [TestCase("EquiNorm.Model", "EquiNorm.Plan", false)]
    [TestCase("EquiNorm.Backends", "EquiNorm.Backends.Cpu", false)]
    [TestCase("EquiNorm.Backends.Cpu", "EquiNorm.Solve", false)]
    [TestCase("EquiNorm.Backends.Cpu", "EquiNorm.Backends", true)]
    [TestCase("EquiNorm.Solve", "EquiNorm.Backends.Cpu", false)]
    [TestCase("EquiNorm.Solve", "EquiNorm.Model", true)]
    public void The_table_says(string from, string to, bool allowed) =>
        Assert.That(IsAllowed(from, $"{from}.SomeType", to), Is.EqualTo(allowed));

    private static bool IsAllowed(string from, string type, string to) =>
        from == to
        || (MayUse.TryGetValue(from, out string[]? below) && below.Contains(to))
        || (to == "EquiNorm.Backends.Cpu" && MayChooseTheCpu.Contains(type));

    // "using static EquiNorm.Plan.SegmentTable" and "using X = EquiNorm.Plan.SegmentTable" name a type of the layer.
    private static string LayerOf(string name) =>
        MayUse.Keys.OrderByDescending(k => k.Length).FirstOrDefault(k => name == k || name.StartsWith(k + ".", StringComparison.Ordinal)) ?? name;

    private static Type Outermost(Type type) => type.DeclaringType is { } outer ? Outermost(outer) : type;

    // Compiler-made types outside every namespace: data of array literals, embedded attributes, inline arrays.
    private static bool IsSynthesized(Type type)
    {
        var outermost = Outermost(type);
        return outermost.Name.StartsWith('<')
            || (outermost.IsDefined(typeof(CompilerGeneratedAttribute), false) && outermost.Namespace?.StartsWith("EquiNorm", StringComparison.Ordinal) != true);
    }

    [GeneratedRegex(@"^namespace\s+(?<name>[\w.]+)", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    [GeneratedRegex(@"^\s*(?:global\s+)?using\s+(?:static\s+)?(?:\w+\s*=\s*)?(?:global::)?(?<name>EquiNorm(?:\.\w+)*)", RegexOptions.Multiline)]
    private static partial Regex UsingLine();
}
