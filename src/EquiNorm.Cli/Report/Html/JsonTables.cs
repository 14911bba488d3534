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
        foreach (var property in document.EnumerateObject().Where(p => p.Value.ValueKind == JsonValueKind.Array && p.Value.GetArrayLength() > 0))
        {
            List(html, property.Name, property.Value);
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
        List<string> columns = objects ? [.. list[0].EnumerateObject().Select(p => p.Name)] : ["value"];
        html.Open("table").Element("caption", name + cut).Open("thead").Open("tr");
        foreach (string column in columns)
        {
            html.Element("th", column, ("scope", "col"));
        }

        html.Close().Close().Open("tbody");
        foreach (var item in list.EnumerateArray().Take(MostRows))
        {
            html.Open("tr");
            foreach (string column in columns)
            {
                html.Element("td", !objects ? Value(item) : item.TryGetProperty(column, out var value) ? Value(value) : "", ("class", "name"));
            }

            html.Close();
        }

        html.Close().Close();
    }

    private static string Value(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.String => HtmlWriter.Sentence(value.GetString()!),
        JsonValueKind.Null => "–",
        JsonValueKind.Array => HtmlWriter.Sentence(string.Join(" × ", value.EnumerateArray().Take(MostRows).Select(Value))),
        _ => HtmlWriter.Sentence(value.GetRawText()),
    };
}
