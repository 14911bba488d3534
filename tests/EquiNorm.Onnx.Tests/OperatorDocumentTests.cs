using System.Text;
using EquiNorm.Onnx.Operators;

namespace EquiNorm.Onnx.Tests;

/// <summary>docs/operators.md against the table of operators that the analysis uses.</summary>
[TestFixture]
internal sealed class OperatorDocumentTests
{
    [Test]
    public void The_document_shows_the_table()
    {
        string document = File.ReadAllText(Path.Combine(Root(), "docs", "operators.md")).ReplaceLineEndings("\n");
        var rows = new StringBuilder("| operators | kind | understood |\n|---|---|---|\n");
        foreach (var family in OperatorTable.All)
        {
            string kind = family.Kind == OperatorKind.ShapeOnly ? "shape only" : family.Kind.ToString().ToLowerInvariant();
            rows.Append(System.Globalization.CultureInfo.InvariantCulture, $"| {string.Join(", ", family.Operators)} | {kind} | {family.Meaning} |\n");
        }

        Assert.That(document, Does.Contain($"\n\n{rows}\n"), "docs/operators.md should show this table:\n" + rows);
    }

    [Test]
    public void No_operator_has_two_rows() => Assert.That(OperatorTable.All.SelectMany(f => f.Operators), Is.Unique);

    private static string Root()
    {
        var folder = new DirectoryInfo(AppContext.BaseDirectory);
        while (!File.Exists(Path.Combine(folder!.FullName, "EquiNorm.Gpu.sln")))
        {
            folder = folder.Parent;
        }

        return folder.FullName;
    }
}
