// What projects may refer to: one another along the arrows, packages at exact versions written in one place, ILGPU in one place only.
using System.Text.RegularExpressions;
using System.Xml.Linq;
using NUnit.Framework;

namespace EquiNorm.Tests.Architecture;

[TestFixture]
internal sealed partial class ProjectTests
{
    private static readonly Dictionary<string, string[]> MayReference = new()
    {
        ["EquiNorm"] = [],
        ["EquiNorm.Gpu"] = ["EquiNorm", "EquiNorm.Gpu.Tables"],
        ["EquiNorm.Gpu.Tables"] = [],
        ["EquiNorm.Gpu.Kernels"] = ["EquiNorm.Gpu.Tables"],
        ["EquiNorm.Gpu.Ilgpu"] = ["EquiNorm", "EquiNorm.Gpu", "EquiNorm.Gpu.Kernels", "EquiNorm.Gpu.Tables"],
        ["EquiNorm.Files"] = ["EquiNorm"],
        ["EquiNorm.Onnx"] = ["EquiNorm", "EquiNorm.Files"],
        ["EquiNorm.Safetensors"] = ["EquiNorm", "EquiNorm.Files"],
        ["EquiNorm.Native"] = ["EquiNorm", "EquiNorm.Gpu"],
        ["EquiNorm.Cli"] = ["EquiNorm", "EquiNorm.Files", "EquiNorm.Onnx", "EquiNorm.Safetensors", "EquiNorm.Gpu", "EquiNorm.Gpu.Ilgpu"],
    };

    // These are embedded in other people's programs.
    private static readonly string[] WithoutPackages = ["EquiNorm", "EquiNorm.Files", "EquiNorm.Safetensors", "EquiNorm.Gpu", "EquiNorm.Gpu.Tables", "EquiNorm.Native"];

    private static IEnumerable<string> ShippedProjects => Repository.Projects.Where(
        p => p.StartsWith("src/", StringComparison.Ordinal) || p is "kernels/EquiNorm.Gpu.Kernels.csproj" or "kernels/Tables/EquiNorm.Gpu.Tables.csproj");

    [TestCaseSource(nameof(ShippedProjects))]
    public void A_project_references_only_projects_below(string project)
    {
        string name = Path.GetFileNameWithoutExtension(project);
        Assert.That(MayReference, Does.ContainKey(name), "a new project needs its place in this table and in the architecture");
        Assert.That(References(project, "ProjectReference").Select(r => Path.GetFileNameWithoutExtension(r.Replace('\\', '/'))), Is.SubsetOf(MayReference[name]));
    }

    [TestCaseSource(nameof(WithoutPackages))]
    public void An_embeddable_library_references_no_package(string name)
    {
        string? project = ShippedProjects.FirstOrDefault(p => Path.GetFileNameWithoutExtension(p) == name);
        if (project != null)
        {
            Assert.That(References(project, "PackageReference"), Is.Empty);
        }
    }

    [Test]
    public void The_core_assembly_refers_to_the_framework_alone() =>
        Assert.That(
            typeof(EquiNorm.Model.ElementType).Assembly.GetReferencedAssemblies().Select(a => a.Name),
            Has.All.StartsWith("System.").Or.EqualTo("netstandard"));

    [Test]
    public void Only_Directory_Build_targets_references_the_ILGPU_package()
    {
        var naming = Repository.BuildFiles.Where(f => References(f, "PackageReference").Any(p => p.StartsWith("ILGPU", StringComparison.OrdinalIgnoreCase)));
        Assert.That(naming, Is.EqualTo(["Directory.Build.targets"]));
    }

    [Test]
    public void Each_package_version_is_pinned_exactly()
    {
        var versions = Elements("Directory.Packages.props", "PackageVersion").ToDictionary(e => Name(e), e => (string?)e.Attribute("Version") ?? "");
        Assert.That(versions, Is.Not.Empty);
        Assert.That(versions.Where(v => !ExactVersion().IsMatch(v.Value)), Is.Empty);
    }

    [TestCase("1.2.3", true)]
    [TestCase("1.2.3-beta.1", true)]
    [TestCase("1.2.*", false)]
    [TestCase("[1.2,2.0)", false)]
    [TestCase("", false)]
    public void An_exact_version_is(string version, bool exact) => Assert.That(ExactVersion().IsMatch(version), Is.EqualTo(exact));

    [Test]
    public void Versions_are_written_in_Directory_Packages_props_alone()
    {
        var wrong = new List<string>();
        var pinned = Elements("Directory.Packages.props", "PackageVersion").Select(Name).ToHashSet(StringComparer.OrdinalIgnoreCase);
        foreach (string file in Repository.BuildFiles.Where(f => f != "Directory.Packages.props"))
        {
            wrong.AddRange(Elements(file, "PackageVersion").Concat(Elements(file, "GlobalPackageReference")).Select(e => $"{file}: {e}"));
            foreach (var reference in Elements(file, "PackageReference"))
            {
                string[] own = ["Version", "VersionOverride"];
                if (own.Any(n => reference.Attribute(n) != null || reference.Elements().Any(c => c.Name.LocalName == n)))
                {
                    wrong.Add($"{file}: {reference} has a version");
                }

                if (!pinned.Contains(Name(reference)))
                {
                    wrong.Add($"{file}: {Name(reference)} is not pinned");
                }
            }
        }

        Assert.That(wrong, Is.Empty);
    }

    // A test project that the solution does not hold would never run.
    [Test]
    public void Each_project_is_in_the_solution()
    {
        string solution = Repository.Read("EquiNorm.Gpu.sln").Replace('\\', '/');
        Assert.That(Repository.Projects.Where(p => !p.StartsWith("eng/", StringComparison.Ordinal) && !solution.Contains($"\"{p}\"", StringComparison.Ordinal)), Is.Empty);
    }

    private static IEnumerable<XElement> Elements(string file, string kind) =>
        Repository.ReadXml(file).Descendants().Where(e => e.Name.LocalName == kind);

    private static string Name(XElement item) => (string?)item.Attribute("Include") ?? (string?)item.Attribute("Update") ?? "";

    private static IEnumerable<string> References(string file, string kind) => Elements(file, kind).Select(Name);

    [GeneratedRegex(@"^\d+\.\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?$")]
    private static partial Regex ExactVersion();
}
