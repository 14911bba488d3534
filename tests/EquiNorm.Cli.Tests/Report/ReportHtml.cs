using System.Xml;
using System.Xml.Linq;

namespace EquiNorm.Cli.Tests.Report;

/// <summary>A report, read back by a strict parser.</summary>
internal sealed class ReportHtml
{
    public ReportHtml(string text)
    {
        Text = text;
        using var reader = XmlReader.Create(new StringReader(text), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore });
        Root = XDocument.Load(reader).Root!;
    }

    public string Text { get; }

    public XElement Root { get; }

    /// <summary>Everything that a reader sees or hears, without the style sheet.</summary>
    public string Words => string.Join("\n", Root.DescendantNodes().OfType<XText>().Where(t => t.Parent!.Name != "style").Select(t => t.Value));

    public string Headline => Root.Descendants("h1").Single().Value;

    public static ReportHtml Load(string path) => new(File.ReadAllText(path));

    /// <summary>Every element's name and every attribute's value, the style sheet left out.</summary>
    public IEnumerable<string> Tags => Root.Descendants().Select(e => e.Name.LocalName).Distinct();
}
