using System.Text.Json;

namespace EquiNorm.Cli.Report.Html;

/// <summary>
/// The JSON object of a run as tables, whatever it holds: numbers by name, then each list. A number that is added to the object is on the page
/// without a change here. Lists are cut to a few hundred rows, and say so.
/// </summary>
internal static class JsonTables
{
    private const int MostRows = 300;

    /// <summary>Writes an object.</summary>
    public static void Write(HtmlWriter html, JsonElement document)
    {
        html.Open("table").Element("caption", "Values").Open("thead").Open("tr").Element("th", "Name", ("scope", "col")).Element("th", "Value", ("scope", "col")).Close().Close().Open("tbody");
        foreach (var (name, value) in Scalars(document, ""))
        {
            html.Open("tr").Element("td", name, ("class", "name")).Element("td", value, ("class", "name")).Close();
        }

        html.Close().Close();
        foreach (var (name, list) in Arrays(document, ""))
        {
            List(html, name, list);
        }
    }

    // Lists within objects become "absorbed.layers".
    private static IEnumerable<(string Name, JsonElement List)> Arrays(JsonElement element, string prefix)
    {
        foreach (var property in element.EnumerateObject())
        {
            if (property.Value.ValueKind == JsonValueKind.Array && property.Value.GetArrayLength() > 0)
            {
                yield return (prefix + property.Name, property.Value);
            }

            foreach (var inner in property.Value.ValueKind == JsonValueKind.Object ? Arrays(property.Value, $"{prefix}{property.Name}.") : [])
            {
                yield return inner;
            }
        }
    }

    // Objects within the object become "seconds.read".
    private static IEnumerable<(string Name, string Value)> Scalars(JsonElement element, string prefix)
    {
        foreach (var property in element.EnumerateObject())
        {
            if (property.Value.ValueKind == JsonValueKind.Object)
            {
                foreach (var inner in Scalars(property.Value, $"{prefix}{property.Name}."))
                {
                    yield return inner;
                }
            }
            else if (property.Value.ValueKind != JsonValueKind.Array)
            {
                yield return (prefix + property.Name, Value(property.Value));
            }
        }
    }

    private static void List(HtmlWriter html, string name, JsonElement list)
    {
        int count = list.GetArrayLength();
        string cut = count > MostRows ? $": the first {MostRows} of {count}; --json lists all" : "";
        bool objects = list[0].ValueKind == JsonValueKind.Object;
        var rows = list.EnumerateArray().Take(MostRows).Select(i => objects ? Cells(i, "").ToDictionary(c => c.Name, c => c.Value) : new() { ["value"] = Value(i) }).ToList();
        var columns = rows.SelectMany(r => r.Keys).Distinct().ToList();
        html.Open("table").Element("caption", name + cut).Open("thead").Open("tr");
        foreach (string column in columns)
        {
            html.Element("th", column, ("scope", "col"));
        }

        html.Close().Close().Open("tbody");
        foreach (var row in rows)
        {
            html.Open("tr");
            foreach (string column in columns)
            {
                html.Element("td", row.GetValueOrDefault(column, ""), ("class", "name"));
            }

            html.Close();
        }

        html.Close().Close();
    }

    // A row's own values, those of objects in it, and lists in one cell.
    private static IEnumerable<(string Name, string Value)> Cells(JsonElement item, string prefix) => item.EnumerateObject().SelectMany(
        p => p.Value.ValueKind == JsonValueKind.Object ? Cells(p.Value, $"{prefix}{p.Name}.") : [(prefix + p.Name, Value(p.Value))]);

    private static string Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => HtmlWriter.Sentence(value.GetString()!),
        JsonValueKind.Null => "–",
        JsonValueKind.Array => HtmlWriter.Sentence(string.Join(" × ", value.EnumerateArray().Take(MostRows).Select(Value))),
        _ => HtmlWriter.Sentence(value.GetRawText()),
    };
}
