using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Description;

/// <summary>Descriptions as texts, and networks compared in everything that a description holds.</summary>
internal static class Descriptions
{
    public static Network Parse(string json) => NetworkDescription.Parse(Encoding.UTF8.GetBytes(json));

    public static string Write(Network network, DescriptionOptions? options = null)
    {
        using var stream = new MemoryStream();
        NetworkDescription.Write(network, stream, options);
        return Encoding.UTF8.GetString(stream.ToArray());
    }

    /// <summary>A document with these axes, weights and ties.</summary>
    public static string Document(string axes, string weights, string? ties = null) =>
        $$"""{ "format": "equinorm-network", "version": 1, "axes": [{{axes}}], {{(ties is null ? "" : $"\"ties\": [{ties}], ")}}"weights": [{{weights}}] }""";

    public static void AssertSame(Network actual, Network expected)
    {
        Assert.That(actual.Groups.Select(Text), Is.EqualTo(expected.Groups.Select(Text)));
        Assert.That(actual.Weights.Select(Text), Is.EqualTo(expected.Weights.Select(Text)));
        Assert.That(actual.ChannelCount, Is.EqualTo(expected.ChannelCount));
    }

    private static string Text(ChannelGroup g) => $"{g.Index} {g.Name} {g.FirstChannel} {g.Count} {g.PinnedBecause ?? "free"}";

    // Layouts compare without the order of dimensions, which a view of any strides need not keep.
    private static string Text(Weight w) =>
        $"{w.Index} {w.Name} {w.ElementType} {w.Role} {w.Height} {w.Layout with { Order = default }} {string.Join(' ', w.Outputs.Ranges)} <- {string.Join(' ', w.Inputs.Ranges)}";
}
