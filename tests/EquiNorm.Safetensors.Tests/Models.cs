using System.Text.Json;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Testing;
using EquiNorm.Testing.Safetensors;

namespace EquiNorm.Safetensors.Tests;

/// <summary>Networks with their elements as safetensors files and descriptions.</summary>
internal static class Models
{
    public static readonly SketchOptions Plain = new() { OutputScale = 0, Strided = 0, ElementTypes = [ElementType.Float64, ElementType.Float32] };

    public static string TypeName(ElementType type) => type switch
    {
        ElementType.Float64 => "F64",
        ElementType.Float32 => "F32",
        ElementType.Float16 => "F16",
        _ => "BF16",
    };

    public static byte[] Describe(Network network)
    {
        using var stream = new MemoryStream();
        NetworkDescription.Write(network, stream);
        return stream.ToArray();
    }

    /// <summary>The extents that a description's text gives each tensor; one extent for one that it gives strides.</summary>
    public static Dictionary<string, long[]> Shapes(byte[] description, TestNetwork network)
    {
        using var json = JsonDocument.Parse(description);
        return json.RootElement.GetProperty("weights").EnumerateArray().ToDictionary(
            w => w.GetProperty("name").GetString()!,
            w => w.TryGetProperty("strides", out _)
                ? [network.Network.Weight(w.GetProperty("name").GetString()!).Layout.Elements]
                : w.GetProperty("shape").EnumerateArray().Select(e => e.GetInt64()).ToArray());
    }

    /// <summary>Adds the tensors of a network, without the elements that tests put behind them.</summary>
    public static SafetensorsBuilder Add(this SafetensorsBuilder builder, TestNetwork network, IEnumerable<TestTensor> tensors)
    {
        var shapes = Shapes(Describe(network.Network), network);
        foreach (var tensor in tensors)
        {
            builder.Add(tensor.Name, TypeName(tensor.ElementType), shapes[tensor.Name], tensor.ToArray()[..(int)network.Network.Weight(tensor.Name).Layout.Elements]);
        }

        return builder;
    }

    /// <summary>The network with the elements of a file.</summary>
    public static TestNetwork Load(TestNetwork network, params IEnumerable<string> paths)
    {
        var copy = network.Clone();
        foreach (var (name, (type, _, bytes)) in paths.SelectMany(p => SafetensorsBuilder.Read(File.ReadAllBytes(p))))
        {
            if (network.Network.Find(name) is null)
            {
                continue;
            }

            double[] values = SafetensorsBuilder.Decode(type, bytes);
            for (int n = 0; n < values.Length; n++)
            {
                copy[name][n] = values[n];
            }
        }

        return copy;
    }

    /// <summary>A dense chain 4 -> 6 -> 3 of one type, without biases: layer1 [6, 4], layer2 [3, 6].</summary>
    public static (SafetensorsBuilder File, DescribedNetwork Network) Chain(string type = "F32", double scale = 1)
    {
        string word = type switch { "F64" => "float64", "F16" => "float16", "BF16" => "bfloat16", _ => "float32" };
        string text = $$"""
            { "format": "equinorm-network", "version": 1,
              "axes": [ { "name": "x", "channels": 4, "pinned": "input" }, { "name": "h", "channels": 6 }, { "name": "y", "channels": 3, "pinned": "output" } ],
              "weights": [
                { "name": "layer1", "type": "{{word}}", "shape": [6, 4], "output": "h", "input": "x" },
                { "name": "layer2", "type": "{{word}}", "shape": [3, 6], "output": "y", "input": "h" } ] }
            """;
        double[] Values(int count, int seed) => [.. Enumerable.Range(0, count).Select(n => (n % 2 == 0 ? 1 : -1) * (0.25 + (n * 7 + seed) % 11 / 8.0))];
        var file = new SafetensorsBuilder()
            .Add("layer1", type, [6, 4], Array.ConvertAll(Values(24, 1), v => v * scale))
            .Add("layer2", type, [3, 6], Values(18, 2));
        return (file, NetworkDescription.Read(System.Text.Encoding.UTF8.GetBytes(text)));
    }
}
