using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using NUnit.Framework;
using static EquiNorm.Tests.Description.Descriptions;

namespace EquiNorm.Tests.Description;

/// <summary>Every error is a NetworkException that names the place, shows the value and says what would be right.</summary>
public sealed class ErrorTests
{
    private const string Axes = """{ "name": "x", "channels": 4 }, { "name": "a", "channels": 6 }""";
    private const string Large = Axes + """, { "name": "large", "channels": 4000000 }""";

    private static IEnumerable<TestCaseData> Documents()
    {
        yield return Case("", "not valid JSON, line 1, byte 1");
        yield return Case("{ \"format\": \n oops }", "not valid JSON, line 2, byte 2");
        yield return Case("{} {}", "not valid JSON");
        yield return Case("/* comment */ {}", "not valid JSON");
        yield return Case(new string('[', 100_000), "maximum configured depth");
        yield return Case("[1, 2]", "the description is [1, 2]; an object with format, version");
        yield return Case("null", "the description is null; an object");
        yield return Case("{}", "the description: it needs format, version, axes and weights");
        yield return Case("""{ "format": "onnx", "other": 1 }""", "format is \"onnx\"; \"equinorm-network\" is expected");
        yield return Case("""{ "format": 1 }""", "format is 1; \"equinorm-network\" is expected");
        yield return Case("""{ "format": "equinorm-network", "version": 3, "new": 1 }""", "version is 3; a whole number from 1 to 2 is expected");
        yield return Case("""{ "format": "equinorm-network", "version": 1, "axes": [], "weights": [], "axes": [] }""", "the property 'axes' is there twice");
        yield return Case("""{ "format": "equinorm-network", "version": 1, "axis": [] }""", "the description: unknown property 'axis'; format, version, axes");
        yield return Case("""{ "format": "equinorm-network", "version": 1, "axes": {}, "weights": [] }""", "axes is {}; a list of axes is expected");
        yield return Case("""{ "format": "equinorm-network", "version": 1, "axes": [], "weights": 7 }""", "weights is 7; a list of weights is expected");
        yield return Case("""{ "format": "equinorm-network", "version": 1, "axes": [], "ties": null, "weights": [] }""", "ties is null; a list of ties is expected");
        yield return Case($$"""{ "{{new string('n', 500)}}": 1 }""", $"unknown property '{new string('n', 60)}...'");
        yield return Case(Document("7", ""), "axes[0] is 7; an object with name, channels, pinned is expected");
        yield return Case(Document(Axes + """, { "name": "b" }""", ""), "axes[2]: an axis needs name and channels");
        yield return Case(Document(Axes + """, { "name": "x", "channels": 1 }""", ""), "axes[2].name is \"x\"; a name that no other axis has");
        yield return Case(Document(Axes + """, { "name": 5, "channels": 1 }""", ""), "axes[2].name is 5; a string is expected");
        yield return Case(Document(Axes + """, { "name": "\uD800", "channels": 1 }""", ""), "axes[2].name is \"\\uD800\"; a string of valid Unicode is expected");
        yield return Case(Document("""{ "name": "b", "channels": 2000000000 }""", ""), "axes[0].channels is 2000000000; a whole number from 0 to 4194304");
        yield return Case(Document(Large + """, { "name": "b", "channels": 400000 }""", ""), "axes[3].channels is 400000; all axes together may have 4194304 channels, these are 4400010");
        yield return Case(Document("""{ "name": "b", "channels": -1 }""", ""), "axes[0].channels is -1");
        yield return Case(Document("""{ "name": "b", "channels": 1.5 }""", ""), "axes[0].channels is 1.5; a whole number");
        yield return Case(Document("""{ "name": "b", "channels": 1e400 }""", ""), "axes[0].channels is 1e400");
        yield return Case(Document("""{ "name": "b", "channels": "16" }""", ""), "axes[0].channels is \"16\"; a whole number");
        yield return Case(Document("""{ "name": "b", "channels": 1, "pinned": true }""", ""), "axes[0].pinned is true; a string is expected");
        yield return Case(Document(Axes, "", """["x", "a"]"""), "ties[0][1]: it names 6 channels, and the first of this tie 4");
        yield return Case(Document(Axes, "", """["x"]"""), "ties[0] is [\"x\"]; at least two references");
        yield return Case(Document(Axes, "", "\"x\""), "ties[0] is \"x\"; a list of references");
        yield return Case(Document(Axes, "", """["x", "z"]"""), "ties[0][1] is \"z\"; the name of an axis is expected");
        yield return Case(Document(Large, "", """["large", ["large", "large"], "large", "large", "large"]"""), "ties[0][1]: it names 8000000 channels");
        yield return Case(Document(Large, "", """["large", "large", "large", "large", "large"]"""), "ties[0][4]: all references together name more than 16777216 channels");

        static TestCaseData Case(string json, string expected) => new TestCaseData(json, expected).SetArgDisplayNames(expected);
    }

    // Replacements in { "name": "w", "type": "float32", "shape": [6, 4], "output": "a", "input": "x" }
    private static IEnumerable<TestCaseData> Weights()
    {
        yield return Case("\"name\": \"w\", ", "", "weights[0]: a weight needs name, type, shape and output");
        yield return Case("\"type\": \"float32\"", "\"type\": \"int8\"", "weights[0].type is \"int8\"; \"float32\", \"float64\", \"float16\" or \"bfloat16\" is expected");
        yield return Case("\"type\": \"float32\"", "\"type\": null", "weights[0].type is null; \"float32\"");
        yield return Case("\"shape\"", "\"kind\": \"gain\", \"shape\"", "weights[0].kind is \"gain\"; \"weight\", \"diagonal\" or \"bias\" is expected");
        yield return Case("\"shape\"", "\"order\": \"oi\", \"shape\"", "weights[0].order is \"oi\"");
        yield return Case("\"shape\"", "\"dtype\": \"float32\", \"shape\"", "weights[0]: unknown property 'dtype'; name, type, kind, shape");
        yield return Case("\"shape\"", "\"groups\": 0, \"shape\"", "weights[0].groups is 0; a whole number from 1");
        yield return Case("\"shape\"", "\"offset\": -1, \"shape\"", "weights[0].offset is -1");
        yield return Case("\"shape\"", "\"offset\": 576460752303423488, \"shape\"", "weights[0].offset is 576460752303423488; a last element below");
        yield return Case("\"shape\"", "\"height\": -1, \"shape\"", "weights[0].height is -1; a whole number from 0 to 2147483647");
        yield return Case("[6, 4]", "[6]", "weights[0].shape is [6]; [outputs, inputs, kernel...] of 6 outputs and 4 inputs is expected");
        yield return Case("[6, 4]", "[]", "weights[0].shape is []");
        yield return Case("[6, 4]", "[4, 6]", "weights[0].shape is [4, 6]; [outputs, inputs, kernel...] of 6 outputs and 4 inputs is expected, or a multiple of the 4 inputs behind a flatten");
        yield return Case("[6, 4]", "[6, 5]", "weights[0].shape is [6, 5]");
        yield return Case("[6, 4]", "[6, 0]", "weights[0].shape is [6, 0]");
        yield return Case("[6, 4]", "[6, 8, 3]", "weights[0].shape is [6, 8, 3]");
        yield return Case("[6, 4]", "[6, 4.0]", "weights[0].shape[1] is 4.0; a whole number from 0 to 2147483647");
        yield return Case("[6, 4]", "[6, -4]", "weights[0].shape[1] is -4");
        yield return Case("[6, 4]", "[6, [4]]", "weights[0].shape[1] is [4]");
        yield return Case("[6, 4]", "6", "weights[0].shape is 6; a list of extents is expected");
        yield return Case("[6, 4]", "[6, 4, 2147483647, 2147483647, 2147483647, 2147483647]", "weights[0].shape is [6, 4, 2147483647, 2147483647, 2147483647, 2147483647]; at most 576460752303423488 elements");
        yield return Case("[6, 4]", "[6, 4, 65536, 65536]", "weights[0].shape is [6, 4, 65536, 65536]; at most 2147483647 kernel positions");
        yield return Case("[6, 4]", "[6, 4], \"groups\": 2", "weights[0].shape is [6, 4]; [outputs, inputs / 2, kernel...] of 6 outputs and 4 inputs");
        yield return Case("[6, 4]", "[6, 1], \"groups\": 4", "weights[0].groups is 4; a divisor of 6 outputs and 4 inputs");
        yield return Case("[6, 4]", "[6, 4], \"order\": \"input-output\"", "weights[0].shape is [6, 4]; [inputs, outputs, kernel...] of 4 inputs and 6 outputs");
        yield return Case("[6, 4]", "[2, 3, 4], \"order\": \"group-output-input\"", "weights[0].shape is [2, 3, 4]; [groups, outputs / groups, inputs / groups, kernel...]");
        yield return Case("[6, 4]", "[2, 3, 2], \"order\": \"group-output-input\", \"groups\": 3", "weights[0].groups is 3; 2 groups, the first extent");
        yield return Case("[6, 4]", "[6, 4], \"strides\": [4]", "weights[0].strides is [4]; one stride for each of the 2 dimensions");
        yield return Case("[6, 4]", "[6, 4], \"strides\": [-4, 1]", "weights[0].strides[0] is -4; a whole number from 0");
        yield return Case("[6, 4]", "[6, 4], \"strides\": [3, 1]", "weights[0]: Weight 'w': elements of its layout overlap");
        yield return Case("[6, 4]", "[6, 4], \"strides\": [0, 0]", "weights[0]: Weight 'w': elements of its layout overlap");
        yield return Case("[6, 4]", "[6, 4], \"strides\": [576460752303423487, 1]", "weights[0].strides is [576460752303423487, 1]; a last element below");
        yield return Case("[6, 4]", "[6, 4, 3, 3], \"strides\": [36, 9, 1, 2]", "weights[0].strides is [36, 9, 1, 2]; kernel dimensions that lie one behind the other");
        yield return Case("\"output\": \"a\"", "\"output\": \"A\"", "weights[0].output is \"A\"; the name of an axis is expected");
        yield return Case("\"output\": \"a\"", "\"output\": { \"axis\": \"a\" }", "weights[0].output is { \"axis\": \"a\" }; the name of an axis, or a list");
        yield return Case("\"output\": \"a\"", "\"output\": [[\"a\"]]", "weights[0].output[0] is [\"a\"]; an object with axis, start, count");
        yield return Case("\"output\": \"a\"", "\"output\": [{ \"axis\": \"a\", \"start\": 0 }]", "weights[0].output[0]: a part of an axis needs axis, start and count");
        yield return Case("\"output\": \"a\"", "\"output\": [{ \"axis\": \"a\", \"start\": 7, \"count\": 0 }]", "weights[0].output[0].start is 7; a whole number from 0 to 6");
        yield return Case("\"output\": \"a\"", "\"output\": [{ \"axis\": \"a\", \"start\": 2, \"count\": 5 }]", "weights[0].output[0].count is 5; a whole number from 0 to 4");
        yield return Case("\"output\": \"a\"", "\"output\": [\"large\", \"large\", \"large\", \"large\", \"large\"]", "weights[0].output[4]: all references together name more than");
        yield return Case(", \"input\": \"x\"", "", "weights[0]: a weight that is no bias needs input");
        yield return Case("\"shape\"", "\"kind\": \"bias\", \"shape\"", "weights[0].input is \"x\"; a bias has no input");
        yield return Case("\"shape\": [6, 4]", "\"kind\": \"diagonal\", \"shape\": [6]", "weights[0].input is \"x\"; 6 channels, as many as the output has, are expected");
        yield return Case("\"shape\": [6, 4], \"output\": \"a\"", "\"kind\": \"diagonal\", \"shape\": [5], \"output\": \"x\"", "weights[0].shape is [5]; [4] is expected");
        yield return Case("\"shape\"", "\"kind\": \"diagonal\", \"groups\": 6, \"shape\"", "weights[0].groups is 6; groups are expected of the kind weight only");
        yield return Case("\"shape\"", "\"kind\": \"diagonal\", \"order\": \"input-output\", \"shape\"", "weights[0].order is \"input-output\"; another order is expected");
        yield return Case("\"shape\": [6, 4], \"output\": \"a\", \"input\": \"x\"", "\"kind\": \"bias\", \"shape\": [5], \"output\": \"a\"", "weights[0].shape is [5]; [6] or [6, positions...] is expected");

        static TestCaseData Case(string old, string replacement, string expected) => new TestCaseData(old, replacement, expected).SetArgDisplayNames(expected);
    }

    private static IEnumerable<TestCaseData> Seconds()
    {
        yield return Case("\"float32\"", "\"float64\"", "weights[1]: Weight 'w' is used as Float32 and as Float64");
        yield return Case("\"shape\"", "\"height\": 4, \"shape\"", "weights[1]: the height of 'w' is 4 here and 3 before");

        static TestCaseData Case(string old, string replacement, string expected) => new TestCaseData(old, replacement, expected).SetArgDisplayNames(expected);
    }

    [TestCaseSource(nameof(Documents))]
    public void Document_is_refused(string json, string expected) => AssertRefused(json, expected);

    [TestCaseSource(nameof(Weights))]
    public void Weight_is_refused(string old, string replacement, string expected)
    {
        const string right = """{ "name": "w", "type": "float32", "shape": [6, 4], "output": "a", "input": "x" }""";
        Assert.That(Parse(Document(Axes, right)).Weights, Has.Count.EqualTo(1));
        Assert.That(right, Does.Contain(old));

        AssertRefused(Document(replacement.Contains("large", StringComparison.Ordinal) ? Large : Axes, right.Replace(old, replacement, StringComparison.Ordinal)), expected);
    }

    [TestCaseSource(nameof(Seconds))]
    public void Second_use_is_refused(string old, string replacement, string expected)
    {
        const string right = """{ "name": "w", "type": "float32", "shape": [6, 4], "output": "a", "input": "x" """;
        AssertRefused(Document(Axes, $"{right}, \"height\": 3 }}, {right.Replace(old, replacement, StringComparison.Ordinal)}}}"), expected);
    }

    [TestCase("\"name\": \"?\"", "axes[0].name")]
    [TestCase("\"?\": 1, \"name\": \"b\"", "axes[0]: unknown property")]
    public void Bytes_that_are_not_UTF8_are_refused(string axis, string expected)
    {
        var bytes = Encoding.UTF8.GetBytes(Document($$"""{ {{axis}}, "channels": 1 }""", ""));
        bytes[Array.IndexOf(bytes, (byte)'?')] = 0xFF;

        Assert.That(() => NetworkDescription.Parse(bytes), Throws.TypeOf<NetworkException>().With.Message.Contains(expected));
    }

    private static void AssertRefused(string json, string expected)
    {
        var exception = Assert.Throws<NetworkException>(() => Parse(json));
        Assert.That(exception!.Message, Does.Contain(expected));
        Assert.That(exception.Message, Has.Length.LessThan(500));
    }
}
