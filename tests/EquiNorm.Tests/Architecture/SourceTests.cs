// Rules on the text of files: no paths of somebody's machine, no regions, no mutable statics, no file that nobody reads to its end.
using System.Reflection;
using System.Text.RegularExpressions;
using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Architecture;

[TestFixture]
internal sealed partial class SourceTests
{
    private const int LongestFile = 400;

    private static IEnumerable<string> ShippedSources => Repository.Sources.Where(f => f.StartsWith("src/", StringComparison.Ordinal));

    [Test]
    public void No_file_holds_a_path_of_a_machine()
    {
        var wrong = new List<string>();
        foreach (string file in Repository.Files)
        {
            string text = Repository.Read(file);
            if (!text.Contains('\0'))
            {
                wrong.AddRange(MachinePath().Matches(text).Select(m => $"{file}: {m.Value}"));
            }
        }

        Assert.That(wrong, Is.Empty);
    }

    // The examples are put together here so that this file passes its own rule.
    [TestCase("see /" + "work/x", true)]
    [TestCase("\"/" + "root/.nuget\"", true)]
    [TestCase("C:" + @"\Users\someone", true)]
    [TestCase("https://example.org/work/x", false)]
    [TestCase("src/work/x", false)]
    public void A_machine_path_is(string text, bool found) => Assert.That(MachinePath().IsMatch(text), Is.EqualTo(found));

    [Test]
    public void No_source_has_a_region() =>
        Assert.That(Repository.Sources.Where(f => Region().IsMatch(Repository.Read(f))), Is.Empty);

    [Test]
    public void No_shipped_source_is_longer_than_four_hundred_lines() =>
        Assert.That(ShippedSources.Select(f => (File: f, Lines: Repository.Read(f).Count(c => c == '\n'))).Where(f => f.Lines > LongestFile), Is.Empty);

    [Test]
    public void No_shipped_source_has_a_mutable_static() =>
        Assert.That(ShippedSources.SelectMany(f => MutableStatics(Repository.Read(f)).Select(field => $"{f}: {field}")), Is.Empty);

    // The text may fool a regular expression; the core's metadata does not.
    [Test]
    public void No_type_of_the_core_has_a_mutable_static()
    {
        var fields = typeof(ElementType).Assembly.GetTypes()
            .SelectMany(t => t.GetFields(BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly))
            .Where(f => !f.IsLiteral && !f.IsInitOnly && !f.IsDefined(typeof(ThreadStaticAttribute), false))
            // Cached delegates of lambdas are the compiler's; the field behind a static property is ours.
            .Where(f => !f.Name.StartsWith('<') || f.Name.EndsWith("k__BackingField", StringComparison.Ordinal));
        Assert.That(fields.Select(f => $"{f.DeclaringType}.{f.Name}"), Is.Empty);
    }

    [TestCase("private static int _count;", true)]
    [TestCase("internal static Dictionary<int, (int A, int B)> Cache = new();", true)]
    [TestCase("public static int Count { get; set; }", true)]
    [TestCase("public static int Count { get; private set; } = 3;", true)]
    [TestCase("[ThreadStatic]\n    private static int[]? _scratch;", true)]
    [TestCase("// One scratch array for each thread.\n    [ThreadStatic]\n    private static int[]? _scratch;", false)]
    [TestCase("[ThreadStatic] private static int _depth;", true)]
    [TestCase("// One for each thread.\n    [ThreadStatic] private static int _depth;", false)]
    [TestCase("private static readonly int[] Table = [1, 2];", false)]
    [TestCase("public static int Twice(int x) => 2 * x;", false)]
    [TestCase("public static int Two => 2;", false)]
    [TestCase("public static int Two { get; } = 2;", false)]
    [TestCase("private static partial Regex Pattern();", false)]
    [TestCase("using static System.Math;", false)]
    [TestCase("list.Select(static x => x + 1);", false)]
    [TestCase("public static bool operator ==(A a, A b) => true;", false)]
    [TestCase("public static class A { }", false)]
    public void A_mutable_static_is(string text, bool found) => Assert.That(MutableStatics("class X\n{\n    " + text + "\n}\n").Any(), Is.EqualTo(found));

    private static IEnumerable<string> MutableStatics(string text)
    {
        foreach (Match match in StaticMember().Matches(text))
        {
            string declaration = match.Groups["declaration"].Value;
            bool explained = match.Value.Contains("[ThreadStatic]", StringComparison.Ordinal)
                && text[..match.Index].TrimEnd().Split('\n')[^1].TrimStart().StartsWith("//", StringComparison.Ordinal);
            if (!FixedWord().IsMatch(declaration) && !explained)
            {
                yield return declaration.Trim();
            }
        }
    }

    // Not preceded by a letter, a digit, a point, a colon, a dash or another slash: URLs and relative paths pass.
    [GeneratedRegex(@"(?<![\w.:/-])/(work|root|home|Users)/[\w.][^\s""'`)]*|\b[A-Z]:\\Users\\\w+")]
    private static partial Regex MachinePath();

    [GeneratedRegex(@"^\s*#\s*(end)?region\b", RegexOptions.Multiline)]
    private static partial Regex Region();

    // A field ends in ';' or '=' with no parameter list before it, a property has a setter; [ThreadStatic] passes with a comment above it.
    [GeneratedRegex(
        @"^[ \t]*(?:\[[^\]\n]*\]\s*)*(?<declaration>(?:\w+[ \t]+)*static[ \t]+[\w.<>\[\]?*, \t]*?(?:\([^()\n]*\)[\w.<>\[\]?*, \t]*?)?\w+\s*(?:;|=(?![=>])|\{[^{}]*\bset;))",
        RegexOptions.Multiline)]
    private static partial Regex StaticMember();

    [GeneratedRegex(@"\b(readonly|const|using|abstract|extern|operator)\b")]
    private static partial Regex FixedWord();
}
