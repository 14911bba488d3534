// equinorm.h and the code say the same: functions, parameters, structs, numbers.
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using E = EquiNorm.Native.Exports.Exports;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed partial class HeaderTests
{
    private static readonly string Header = Comment().Replace(File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, "equinorm.h")), " ");

    private static readonly Dictionary<string, Type> Structs = new()
    {
        ["en_options"] = typeof(OptionsStruct),
        ["en_tensor"] = typeof(TensorStruct),
        ["en_step_report"] = typeof(StepReportStruct),
        ["en_solve_result"] = typeof(SolveResultStruct),
    };

    private static readonly Dictionary<string, (Type Type, string Prefix)> Enums = new()
    {
        ["en_status"] = (typeof(Status), "EN_"),
        ["en_type"] = (typeof(TypeNumbers), "EN_"),
        ["en_device_kind"] = (typeof(DeviceKinds), "EN_"),
        ["en_companion"] = (typeof(CompanionNumbers), "EN_"),
        ["en_penalty"] = (typeof(PenaltyKind), "EN_PENALTY_"),
        ["en_solve_state"] = (typeof(SolveState), "EN_"),
    };

    private static Dictionary<string, (string Result, string[] Parameters)> Declared => Function().Matches(Header).ToDictionary(
        m => m.Groups["name"].Value,
        m => (m.Groups["result"].Value.Trim(), m.Groups["parameters"].Value.Split(',').Select(p => p.Trim()).Where(p => p != "void").ToArray()));

    private static Dictionary<string, MethodInfo> Exported => typeof(E).GetMethods(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic)
        .Where(m => m.GetCustomAttribute<UnmanagedCallersOnlyAttribute>() is not null)
        .ToDictionary(m => m.GetCustomAttribute<UnmanagedCallersOnlyAttribute>()!.EntryPoint!);

    [Test]
    public void Each_function_of_the_header_is_exported_and_no_other()
    {
        Assert.That(Declared, Has.Count.GreaterThan(20));
        Assert.That(Exported.Keys, Is.EquivalentTo(Declared.Keys));
    }

    [TestCaseSource(nameof(Names))]
    public void Its_parameters_agree(string name)
    {
        var (result, parameters) = Declared[name];
        var method = Exported[name];
        Assert.That(Kind(method.ReturnType), Is.EqualTo(KindInC(result)), "result");
        Assert.That(
            method.GetParameters().Select(p => Kind(p.ParameterType)), Is.EqualTo(parameters.Select(p => KindInC(p[..(p.LastIndexOfAny([' ', '*']) + 1)]))));
    }

    [Test]
    public void The_version_agrees() => Assert.That(C.AbiVersion, Is.EqualTo(int.Parse(Regex.Match(Header, @"EN_ABI_VERSION (\d+)").Groups[1].Value)));

    [Test]
    public void No_struct_and_no_enum_is_left_out()
    {
        Assert.That(Struct().Matches(Header).Select(m => m.Groups["name"].Value), Is.EquivalentTo(Structs.Keys));
        Assert.That(Enum().Matches(Header).Select(m => m.Groups["name"].Value), Is.EquivalentTo(Enums.Keys));
    }

    [TestCaseSource(nameof(StructNames))]
    public void Its_fields_are_where_C_has_them(string name)
    {
        var type = Structs[name];
        var text = Struct().Matches(Header).Single(m => m.Groups["name"].Value == name).Groups["fields"].Value;
        var (offset, widest) = (0, 1);
        var expected = new List<string>();
        foreach (var field in text.Split(';').Select(f => f.Trim()).Where(f => f != ""))
        {
            var at = field.LastIndexOfAny([' ', '*']) + 1;
            var size = SizeInC(field[..at]);
            offset = (offset + size - 1) / size * size;
            expected.Add($"{field[at..].Replace("_", "")} {offset}");
            offset += size;
            widest = Math.Max(widest, size);
        }

        var actual = type.GetFields(BindingFlags.Instance | BindingFlags.Public)
            .Select(f => $"{f.Name.ToLowerInvariant()} {Marshal.OffsetOf(type, f.Name)}");
        Assert.That(actual, Is.EqualTo(expected));
        Assert.That(Marshal.SizeOf(type), Is.EqualTo((offset + widest - 1) / widest * widest));
    }

    [TestCaseSource(nameof(EnumNames))]
    public void Its_numbers_agree(string name)
    {
        var (type, prefix) = Enums[name];
        var text = Enum().Matches(Header).Single(m => m.Groups["name"].Value == name).Groups["values"].Value;
        var expected = text.Split(',').Select(v => v.Split('=')).Select(v => $"{v[0].Trim()[prefix.Length..].Replace("_", "").ToLowerInvariant()} {v[1].Trim()}");
        var actual = type.GetFields(BindingFlags.Static | BindingFlags.Public).Where(f => f.IsLiteral)
            .Select(f => $"{f.Name.ToLowerInvariant()} {Convert.ToInt32(f.GetRawConstantValue())}");
        Assert.That(actual, Is.EquivalentTo(expected));
    }

    [Test]
    public void Each_status_has_its_name()
    {
        var text = Enum().Matches(Header).Single(m => m.Groups["name"].Value == "en_status").Groups["values"].Value;
        foreach (var value in text.Split(',').Select(v => v.Split('=')))
        {
            Assert.That(C.StatusName(int.Parse(value[1])), Is.EqualTo(value[0].Trim()));
        }

        Assert.That(C.StatusName(-1), Is.EqualTo("unknown status"));
        Assert.That(C.StatusName(15), Is.EqualTo("unknown status"));
    }

    private static IEnumerable<string> Names() => Declared.Keys;

    private static IEnumerable<string> StructNames() => Structs.Keys;

    private static IEnumerable<string> EnumNames() => Enums.Keys;

    private static string Kind(Type type) => type == typeof(void) ? "nothing"
        : type.IsPointer || type == typeof(nint) ? "pointer"
        : type == typeof(int) || type == typeof(Status) ? "int32"
        : type == typeof(nuint) ? "size"
        : type == typeof(double) ? "double"
        : type.Name;

    private static string KindInC(string type) => type.Trim() switch
    {
        "void" => "nothing",
        "int32_t" or "en_status" => "int32",
        "size_t" => "size",
        "double" => "double",
        var t when t.EndsWith('*') => "pointer",
        var t => t,
    };

    private static int SizeInC(string type) => type.Trim() switch
    {
        "int32_t" or "uint32_t" => 4,
        "double" or "int64_t" => 8,
        var t when t.EndsWith('*') => 8,
        var t => throw new ArgumentException(t),
    };

    [GeneratedRegex(@"/\*.*?\*/", RegexOptions.Singleline)]
    private static partial Regex Comment();

    [GeneratedRegex(@"EN_API (?<result>[\w\s]+?[\s*]+)(?<name>en_\w+)\((?<parameters>[^)]*)\);", RegexOptions.Singleline)]
    private static partial Regex Function();

    [GeneratedRegex(@"typedef struct (?<name>en_\w+) \{(?<fields>[^}]*)\}")]
    private static partial Regex Struct();

    [GeneratedRegex(@"typedef enum (?<name>en_\w+) \{(?<values>[^}]*)\}")]
    private static partial Regex Enum();
}
