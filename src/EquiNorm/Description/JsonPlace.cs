using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>A value of a JSON document that knows where it stands, so that every error names the place and the value.</summary>
internal sealed class JsonPlace
{
    private const int MostShown = 60;

    private readonly JsonElement _value;
    private readonly JsonPlace? _parent;
    private readonly string? _property;
    private readonly int _index;

    private JsonPlace(JsonElement value, JsonPlace? parent, string? property, int index)
    {
        _value = value;
        _parent = parent;
        _property = property;
        _index = index;
    }

    /// <summary>The whole document.</summary>
    public static JsonPlace Root(JsonElement value) => new(value, null, null, 0);

    /// <summary>Whether the value is a string.</summary>
    public bool IsText => _value.ValueKind == JsonValueKind.String;

    /// <summary>Whether the value is a list.</summary>
    public bool IsList => _value.ValueKind == JsonValueKind.Array;

    /// <summary>The place: <c>weights[3].shape</c>.</summary>
    public override string ToString() => _parent is null ? "the description"
        : _property is null ? $"{_parent}[{_index.ToString(CultureInfo.InvariantCulture)}]"
        : _parent._parent is null ? _property : $"{_parent}.{_property}";

    /// <summary>An error at this place: "PLACE: problem".</summary>
    public NetworkException Wrong(string problem) => new($"{this}: {problem}");

    /// <summary>An error about the value: "PLACE is VALUE; what is expected".</summary>
    public NetworkException Unexpected(string expected) => new($"{this} is {Shown}; {expected}.");

    /// <summary>The properties of an object.</summary>
    /// <param name="known">Names that are allowed.</param>
    /// <returns>One place for each name; null where it is absent.</returns>
    /// <exception cref="NetworkException">It is no object, or has another property, or one twice.</exception>
    public JsonPlace?[] Properties(IReadOnlyList<string> known)
    {
        if (_value.ValueKind != JsonValueKind.Object)
        {
            throw Unexpected($"an object with {string.Join(", ", known)} is expected");
        }

        var found = new JsonPlace?[known.Count];
        foreach (var property in _value.EnumerateObject())
        {
            var name = Decode(() => property.Name);
            var at = name is null ? -1 : IndexOf(known, name);
            if (at < 0)
            {
                throw Wrong($"unknown property '{Shorten(name ?? "(not valid text)")}'; {string.Join(", ", known)} are known.");
            }

            if (found[at] is not null)
            {
                throw Wrong($"the property '{name}' is there twice.");
            }

            found[at] = new JsonPlace(property.Value, this, known[at], 0);
        }

        return found;
    }

    /// <summary>A property of an object, whatever else the object holds; null if it is absent or this is no object.</summary>
    public JsonPlace? Peek(string name) =>
        _value.ValueKind == JsonValueKind.Object && _value.TryGetProperty(name, out var value) ? new JsonPlace(value, this, name, 0) : null;

    /// <summary>The values of a list.</summary>
    /// <param name="expected">What is expected, for the error.</param>
    /// <exception cref="NetworkException">It is no list.</exception>
    public IEnumerable<JsonPlace> Items(string expected)
    {
        if (!IsList)
        {
            throw Unexpected($"{expected} is expected");
        }

        return _value.EnumerateArray().Select((item, i) => new JsonPlace(item, this, null, i));
    }

    /// <summary>The number of values of a list.</summary>
    public int Count => _value.GetArrayLength();

    /// <summary>A string.</summary>
    /// <exception cref="NetworkException">It is none, or not valid Unicode.</exception>
    public string Text()
    {
        if (!IsText)
        {
            throw Unexpected("a string is expected");
        }

        return Decode(_value.GetString) ?? throw Unexpected("a string of valid Unicode is expected");
    }

    /// <summary>One of several words.</summary>
    /// <exception cref="NetworkException">It is none of them.</exception>
    public T Word<T>(params ReadOnlySpan<(string Word, T Value)> words)
    {
        if (IsText && Decode(_value.GetString) is { } text)
        {
            foreach (var (word, value) in words)
            {
                if (word == text)
                {
                    return value;
                }
            }
        }

        var all = new string[words.Length];
        for (var i = 0; i < all.Length; i++)
        {
            all[i] = $"\"{words[i].Word}\"";
        }

        throw Unexpected($"{string.Join(", ", all[..^1])} or {all[^1]} is expected");
    }

    /// <summary>A whole number from <paramref name="least"/> to <paramref name="most"/>, written without point and exponent.</summary>
    /// <exception cref="NetworkException">It is none.</exception>
    public long Integer(long least, long most) =>
        _value.ValueKind == JsonValueKind.Number && _value.TryGetInt64(out var number) && number >= least && number <= most
            ? number
            : throw Unexpected(FormattableString.Invariant($"a whole number from {least} to {most} is expected"));

    private string Shown
    {
        get
        {
            // Of the bytes: the text need not be valid Unicode, and may be long.
            var raw = JsonMarshal.GetRawUtf8Value(_value);
            var text = Encoding.UTF8.GetString(raw[..Math.Min(raw.Length, 4 * MostShown)]);
            return Shorten(string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)));
        }
    }

    private static string Shorten(string text) => text.Length <= MostShown ? text : $"{text[..MostShown]}...";

    private static int IndexOf(IReadOnlyList<string> names, string name)
    {
        for (var i = 0; i < names.Count; i++)
        {
            if (names[i] == name)
            {
                return i;
            }
        }

        return -1;
    }

    // Bytes that are not UTF-8 and halves of surrogate pairs are found only when the text is asked for.
    private static string? Decode(Func<string?> read)
    {
        try
        {
            return read();
        }
        catch (InvalidOperationException)
        {
            return null;
        }
    }
}
