using System.Text.Json;
using EquiNorm.Model;

namespace EquiNorm.Description;

/// <summary>
/// A network as JSON, docs/network-json.md: axes of channels, ties between them, weights from axis to axis. Shapes and types only, like
/// <see cref="Network"/> itself. What is read costs memory and time in proportion to the text and to the limits here, whatever
/// numbers the text holds.
/// </summary>
public static class NetworkDescription
{
    /// <summary>Bytes of a description.</summary>
    public const int MaxBytes = 1 << 28;

    /// <summary>Channels of all axes together.</summary>
    public const int MaxChannels = 1 << 22;

    /// <summary>Channels that all references together name, repetitions counted.</summary>
    public const int MaxPositions = 1 << 24;

    /// <summary>Elements of a tensor from the first that a weight uses to the last, so that their bytes can be counted in 64 bits.</summary>
    public const long MaxElements = 1L << 59;

    private const int Depth = 8;

    private static ReadOnlySpan<byte> ByteOrderMark => [0xEF, 0xBB, 0xBF];

    /// <summary>Reads a network. Weights and axes keep their order.</summary>
    /// <param name="utf8Json">The text, UTF-8, with or without a byte order mark.</param>
    /// <exception cref="NetworkException">The text is not a valid description. The message names the place and the value, and says what would be right.</exception>
    public static Network Parse(ReadOnlyMemory<byte> utf8Json) => Read(utf8Json).Network;

    /// <summary>Reads a network, and the extents of its stored tensors, which a network does not hold: for those who look for the tensors in files.</summary>
    /// <param name="utf8Json">The text, UTF-8, with or without a byte order mark.</param>
    /// <exception cref="NetworkException">The text is not a valid description, as in <see cref="Parse"/>.</exception>
    public static DescribedNetwork Read(ReadOnlyMemory<byte> utf8Json)
    {
        if (utf8Json.Length > MaxBytes)
        {
            throw new NetworkException($"The description has {utf8Json.Length} bytes; at most {MaxBytes} are read.");
        }

        if (utf8Json.Span.StartsWith(ByteOrderMark))
        {
            utf8Json = utf8Json[ByteOrderMark.Length..];
        }

        try
        {
            using var document = JsonDocument.Parse(utf8Json, new JsonDocumentOptions { MaxDepth = Depth });
            var reader = new DescriptionReader();
            return new DescribedNetwork(reader.Read(JsonPlace.Root(document.RootElement)), reader.Shapes);
        }
        catch (JsonException e)
        {
            // The reader's own text counts lines from 0.
            var problem = e.Message.Split(" LineNumber:")[0];
            throw new NetworkException($"The description is not valid JSON, line {e.LineNumber + 1}, byte {e.BytePositionInLine + 1}: {problem}");
        }
    }

    /// <summary>
    /// Writes a network so that <see cref="Parse"/> gives the same one: groups, weights, layouts, heights. Each group is an axis; the
    /// constant that biases read, and <see cref="Network.Notes"/>, are left out.
    /// </summary>
    /// <param name="network">The network.</param>
    /// <param name="stream">Receives UTF-8; stays open.</param>
    /// <param name="options">What is known beyond the network, and what to do with what cannot be written.</param>
    /// <exception cref="NetworkException">
    /// A weight has an <see cref="Weight.OutputScale"/>, which is named, and the options do not say to leave it out; or the network is
    /// beyond the limits. Nothing has been written.
    /// </exception>
    public static void Write(Network network, Stream stream, DescriptionOptions? options = null) =>
        new DescriptionWriter(network, options ?? new DescriptionOptions()).Write(stream);
}

/// <summary>What a description says.</summary>
/// <param name="Network">The network.</param>
/// <param name="Shapes">Extents of the stored tensors by name, outermost first; none for a weight that strides or an offset make a view of its tensor.</param>
public sealed record DescribedNetwork(Network Network, IReadOnlyDictionary<string, IReadOnlyList<long>> Shapes);
