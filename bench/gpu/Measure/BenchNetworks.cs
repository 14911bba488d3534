using EquiNorm.Bench;
using EquiNorm.Model;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>A network that is measured, without its elements.</summary>
/// <param name="Name">What tables call it.</param>
/// <param name="Network">Its weights and channel groups.</param>
/// <param name="CreateElements">Makes its elements.</param>
internal sealed record BenchNetwork(string Name, Network Network, Func<IElementSource> CreateElements)
{
    // What one core generates: 30 million normal numbers; what a host fills and steps, at worst.
    private const double GeneratedBytesPerSecond = 1e8;
    private const double FilledBytesPerSecond = 1e9;
    private const double SmallestSeconds = 4;

    /// <summary>Bytes of all weights.</summary>
    public long Bytes { get; } = Network.Weights.Sum(w => w.Layout.Elements * w.ElementType.ByteSize());

    /// <summary>Whether its elements are a repeated block.</summary>
    public bool IsRepeated { get; init; }

    /// <summary>How the reference implementation sees it, or why it does not.</summary>
    public required PeerNetwork Peer { get; init; }

    /// <summary>A guess, on the high side, of the seconds that generating, filling and measuring take.</summary>
    public double Seconds => SmallestSeconds + Bytes / (IsRepeated ? FilledBytesPerSecond / 6 : GeneratedBytesPerSecond);
}

/// <summary>A network as the reference implementation takes it.</summary>
/// <param name="Kind">"linear" or "conv"; null if it takes neither.</param>
/// <param name="Shapes">Shapes of the weights, in order.</param>
/// <param name="WhyNot">Why it does not take the network.</param>
internal sealed record PeerNetwork(string? Kind, IReadOnlyList<int[]> Shapes, string? WhyNot)
{
    /// <summary>A network that the reference implementation does not take.</summary>
    public static PeerNetwork None(string why) => new(null, [], why);
}

/// <summary>Elements of a network, in pieces: each piece is as long as its source has contiguous memory for.</summary>
internal interface IElementSource
{
    /// <summary>The bytes of a weight from an offset on: one or more, not necessarily all.</summary>
    ReadOnlySpan<byte> From(Weight weight, long offset);
}

/// <summary>The networks of gpubench.</summary>
internal static class BenchNetworks
{
    private const string Residual = "it takes chains only";
    private const string Mixed = "it takes chains of one kind of layer, this one mixes convolutions and dense layers";

    /// <summary>All of them, small ones first, so that a budget that ends loses the largest.</summary>
    public static IReadOnlyList<BenchNetwork> All { get; } =
    [
        Standard("100x64", n => Chain(n)),
        Standard("15x500", n => Chain(n)),
        Standard("mobilenet_v2", _ => PeerNetwork.None(Residual)),
        Standard("resnet18", _ => PeerNetwork.None(Residual)),
        Standard("vgg16", _ => PeerNetwork.None(Mixed)),
        Mlp("mlp-12x1664", 1664),
        Mlp("mlp-12x4608", 4608),
    ];

    /// <summary>What a quick run measures.</summary>
    public static IReadOnlyList<BenchNetwork> Quick { get; } = [.. All.Where(n => n.Bytes < 100_000_000)];

    /// <summary>
    /// The dense layers of a transformer without the rest: 12 times d -> 4 d -> d with a residual stream, 384 d^2 bytes of float32. There is
    /// no normalisation in it, so that the stream is free and the problem is not twelve separate ones.
    /// </summary>
    public static Network MlpStack(int width, int blocks = 12)
    {
        var builder = new NetworkBuilder();
        var x = Dense("embed", builder.Input("input", 64), width);
        for (var n = 0; n < blocks; n++)
        {
            x = builder.Add(x, Dense($"down{n}", Dense($"up{n}", x, 4 * width), width));
        }

        builder.Output(Dense("head", x, 64));
        return builder.Build();

        ChannelAxis Dense(string name, ChannelAxis input, int outputs) =>
            builder.Weight(new WeightDeclaration(name, ElementType.Float32, WeightLayout.Dense(outputs, input.Length)), input);
    }

    private static BenchNetwork Standard(string name, Func<Network, PeerNetwork> peer)
    {
        var network = StandardNetworks.Shape(name);
        return new BenchNetwork(name, network, () => new GeneratedElements(StandardNetworks.Create(name))) { Peer = peer(network) };
    }

    private static BenchNetwork Mlp(string name, int width) => new(name, MlpStack(width), () => new RepeatedBlock(seed: 1))
    {
        IsRepeated = true,
        Peer = PeerNetwork.None(Residual),
    };

    private static PeerNetwork Chain(Network network) =>
        new("linear", [.. network.Weights.Select(w => (int[])[w.Layout.Outputs, w.Layout.Inputs])], null);

    private sealed class GeneratedElements(GeneratedNetwork network) : IElementSource
    {
        public ReadOnlySpan<byte> From(Weight weight, long offset) =>
            System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(network.Elements[weight.Index].AsSpan((int)(offset / sizeof(float))));
    }
}

/// <summary>
/// One block of random numbers, repeated without end: generating gigabytes would take longer than measuring. Its length is prime, so rows
/// differ; magnitudes are log-normal, so channels do.
/// </summary>
internal sealed class RepeatedBlock : IElementSource
{
    private const int Length = 4_194_301;

    private readonly float[] _block = new float[Length];

    public RepeatedBlock(int seed)
    {
        var random = new Random(seed);
        for (var n = 0; n < Length; n++)
        {
            // A sum of three uniform numbers is normal enough for weights.
            var x = random.NextSingle() + random.NextSingle() + random.NextSingle() - 1.5f;
            _block[n] = 0.05f * x * MathF.Exp(2 * x);
        }
    }

    public ReadOnlySpan<byte> From(Weight weight, long offset)
    {
        // Each weight begins somewhere else.
        var start = (weight.Index * 1_000_003L + offset / sizeof(float)) % Length;
        var length = Math.Min(Length - start, weight.Layout.Elements - offset / sizeof(float));
        return System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(_block.AsSpan((int)start, (int)length));
    }
}
