using System.Globalization;
using System.Text;
using System.Xml;

namespace EquiNorm.Cli.Report.Html;

/// <summary>
/// HTML that is well-formed XML, too. Every text and attribute goes through <see cref="XmlWriter"/>, which escapes it, and through
/// <see cref="Clean"/> before: nothing from a model can become markup, and no name is longer than a line of a report can bear.
/// </summary>
internal sealed class HtmlWriter : IDisposable
{
    private const int MostOfName = 160;
    private const int MostOfSentence = 800;

    // "<div/>" opens a div in HTML. Only these end with "/>": void elements of HTML, and SVG's shapes.
    private static readonly HashSet<string> Void = ["meta", "wbr", "circle", "line", "path", "rect"];

    private readonly StringBuilder _text = new("<!DOCTYPE html>\n");
    private readonly XmlWriter _xml;

    /// <summary>An empty page.</summary>
    public HtmlWriter() => _xml = XmlWriter.Create(_text, new XmlWriterSettings { OmitXmlDeclaration = true, NewLineChars = "\n" });

    /// <summary>Opens an element; the outermost is html.</summary>
    public HtmlWriter Open(string tag, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        _xml.WriteStartElement(tag);
        foreach (var (name, value) in attributes)
        {
            _xml.WriteAttributeString(name, Clean(value, int.MaxValue));
        }

        return this;
    }

    /// <summary>Closes the element opened last.</summary>
    public HtmlWriter Close()
    {
        _xml.WriteFullEndElement();
        return this;
    }

    /// <summary>An element without content.</summary>
    public HtmlWriter Empty(string tag, params ReadOnlySpan<(string Name, string Value)> attributes)
    {
        if (!Void.Contains(tag))
        {
            return Open(tag, attributes).Close();
        }

        Open(tag, attributes);
        _xml.WriteEndElement();
        return this;
    }

    /// <summary>An element with a text.</summary>
    public HtmlWriter Element(string tag, string text, params ReadOnlySpan<(string Name, string Value)> attributes) => Open(tag, attributes).Text(text).Close();

    /// <summary>A text of the tool's own or of the model's.</summary>
    public HtmlWriter Text(string text)
    {
        _xml.WriteString(Clean(text, int.MaxValue));
        return this;
    }

    /// <summary>A constant of the tool's own, as it is: the style sheet, line ends.</summary>
    public HtmlWriter Raw(string constant)
    {
        _xml.WriteRaw(constant);
        return this;
    }

    /// <summary>A name from a model, which may be broken behind a slash and nowhere else if that will do.</summary>
    public HtmlWriter Name(string name)
    {
        string[] parts = Short(name).Split('/');
        for (int n = 0; n < parts.Length; n++)
        {
            Text(n < parts.Length - 1 ? parts[n] + "/" : parts[n]);
            if (n < parts.Length - 1 && parts[n].Length > 0)
            {
                Empty("wbr");
            }
        }

        return this;
    }

    /// <summary>A name from a model or the system, cut in its middle where it is very long.</summary>
    public static string Short(string name) => Clean(name, MostOfName);

    /// <summary>A sentence with such names in it, cut in its middle where it is very long.</summary>
    public static string Sentence(string text) => Clean(text, MostOfSentence);

    /// <summary>
    /// A text without what markup must not hold or what would reorder the page: control characters, halves of surrogate pairs, marks
    /// of writing direction. Each becomes U+FFFD.
    /// </summary>
    public static string Clean(string text, int most)
    {
        var clean = new StringBuilder(Math.Min(text.Length, most));
        var runes = text.Length > 2 * (long)most ? string.Concat(text.AsSpan(0, most), text.AsSpan(text.Length - most)) : text;
        foreach (var rune in runes.EnumerateRunes())
        {
            bool harmless = rune.Value is '\n' or '\t'
                || (Rune.GetUnicodeCategory(rune) is not (UnicodeCategory.Control or UnicodeCategory.Format or UnicodeCategory.Surrogate) && rune.Value is not (0xFFFE or 0xFFFF));
            clean.Append(harmless ? rune.ToString() : "\uFFFD");
        }

        if (clean.Length <= most)
        {
            return clean.ToString();
        }

        // Surrogate pairs are kept whole.
        var (head, tail) = (most / 2, clean.Length - (most - most / 2 - 1));
        head -= char.IsHighSurrogate(clean[head - 1]) ? 1 : 0;
        tail += char.IsLowSurrogate(clean[tail]) ? 1 : 0;
        return $"{clean.ToString(0, head)}…{clean.ToString(tail, clean.Length - tail)}";
    }

    /// <summary>The page so far.</summary>
    public string Finish()
    {
        _xml.Flush();
        return _text.Append('\n').ToString();
    }

    /// <inheritdoc/>
    public void Dispose() => _xml.Dispose();
}
