using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>
/// Families of random networks. Every network of a family is drawn from a seed: shapes, widths, storage, elements, then a random
/// function-preserving rescaling that makes it unequal.
/// </summary>
public static class RandomNetworks
{
    private static readonly int[] Widths = [1, 2, 3, 5, 8, 17, 31, 32, 33, 65];

    private static readonly Dictionary<string, Func<NetworkSketch, Signal>> FamilyTable = new(StringComparer.Ordinal)
    {
        ["dense chain"] = DenseChain,
        ["convolution 1-D"] = s => ConvolutionChain(s, s.Input(Width(s), 1, 9), kernelHeight: 1),
        ["convolution 2-D"] = s => ConvolutionChain(s, s.Input(3, 5, 6), kernelHeight: 3),
        ["residual"] = Residual,
        ["downsample"] = Downsample,
        ["dense blocks"] = DenseBlocks,
        ["concat with add"] = ConcatWithAdd,
        ["split"] = Split,
        ["depthwise pairs"] = DepthwisePairs,
        ["depthwise multiplier"] = DepthwiseMultiplier,
        ["grouped"] = Grouped,
        ["tied"] = Tied,
        ["tied neighbours"] = TiedNeighbours,
        ["self-edge"] = SelfEdge,
        ["diagonal"] = Diagonal,
        ["diagonal over concat"] = DiagonalOverConcat,
        ["batch normalisation"] = BatchNormalized,
        ["shuffle"] = Shuffle,
        ["repeated channels"] = Repeated,
        ["folded channels"] = Folded,
        ["two heads"] = TwoHeads,
        ["mixed"] = Mixed,
    };

    /// <summary>Names of all families.</summary>
    public static IReadOnlyCollection<string> Families => FamilyTable.Keys;

    /// <summary>A network of a family.</summary>
    /// <param name="family">One of <see cref="Families"/>.</param>
    /// <param name="seed">Decides everything.</param>
    /// <param name="options">The odds.</param>
    /// <param name="sigma">Deviation of the log factors by which hidden channels are made unequal.</param>
    public static TestNetwork Create(string family, int seed, SketchOptions? options = null, double sigma = 1.5)
    {
        var random = new Random(seed);
        var sketch = new NetworkSketch(random, options ?? new SketchOptions());
        sketch.Output(Head(sketch, FamilyTable[family](sketch)));
        var network = sketch.Build();
        network.Rescale(network.RandomLogFactors(random, sigma));
        return network;
    }

    /// <summary>A dense chain with the given widths, pinned ends included.</summary>
    public static TestNetwork Chain(int seed, IReadOnlyList<int> widths, SketchOptions? options = null, double sigma = 1.5)
    {
        var random = new Random(seed);
        var sketch = new NetworkSketch(random, options ?? new SketchOptions { Strided = 0, OutputScale = 0 });
        var signal = sketch.Input(widths[0]);
        for (var k = 1; k < widths.Count; k++)
        {
            signal = sketch.Dense(k == 1 ? signal : sketch.Activate(signal), widths[k], $"layer{k}");
        }

        sketch.Output(signal);
        var network = sketch.Build();
        network.Rescale(network.RandomLogFactors(random, sigma));
        return network;
    }

    /// <summary>A dense chain whose hidden layers fall into clusters; weights between different clusters are multiplied by <paramref name="tie"/>.</summary>
    public static TestNetwork Clustered(int seed, int layers, int clusters, int unitsPerCluster, double tie)
    {
        var width = clusters * unitsPerCluster;
        var network = Chain(seed, [width, .. Enumerable.Repeat(width, layers), clusters], sigma: 0);
        for (var k = 1; k <= layers; k++)
        {
            var tensor = network[$"layer{k}"];
            foreach (var (o, i, at) in TestNetwork.Elements(network.Network.Weight(tensor.Name).Layout))
            {
                tensor[at] *= o / unitsPerCluster == i / unitsPerCluster ? 1 : tie;
            }
        }

        network.Rescale(network.RandomLogFactors(new Random(seed + 1), 1.5));
        return network;
    }

    /// <summary>A dense chain in which every unit has three incoming connections.</summary>
    public static TestNetwork Sparse(int seed, int layers, int width)
    {
        var random = new Random(seed);
        var network = Chain(seed, [width, .. Enumerable.Repeat(width, layers), 10]);
        foreach (var weight in network.Network.Weights.Where(w => w.Role == WeightRole.Weight && w.Layout.Inputs == width && w.Layout.Outputs == width))
        {
            var kept = Enumerable.Range(0, width).Select(_ => Enumerable.Range(0, 3).Select(_ => random.Next(width)).ToHashSet()).ToArray();
            foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
            {
                network[weight.Name][at] *= kept[o].Contains(i) ? 1 : 0;
            }
        }

        return network;
    }

    /// <summary>Sets all weights in front of (or behind) some channels of free groups to 0.</summary>
    public static void Kill(TestNetwork network, Random random, int channels)
    {
        var free = network.Network.Groups.Where(g => !g.IsPinned).SelectMany(g => Enumerable.Range(g.FirstChannel, g.Count)).ToArray();
        for (var n = 0; n < channels && free.Length > 0; n++)
        {
            var (victim, front) = (random.Pick(free), random.Chance(0.5));
            foreach (var weight in network.Network.Weights.Where(w => w.Role == WeightRole.Weight))
            {
                var ends = (front ? weight.Outputs : weight.Inputs).ToChannels(network.Network.Groups);
                foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout).Where(e => ends[front ? e.Output : e.Input] == victim))
                {
                    network[weight.Name][at] = 0;
                }
            }
        }
    }

    private static int Width(NetworkSketch s) => s.Random.Pick(Widths);

    private static int SmallWidth(NetworkSketch s) => s.Random.Pick(1, 2, 3, 5, 8, 17);

    private static Signal Head(NetworkSketch s, Signal x)
    {
        x = s.Activate(x);
        var pooled = s.Random.Chance(0.5) ? s.GlobalAverage(x) : s.MaxPool(x);
        return s.MaybeBias(s.Dense(pooled, SmallWidth(s)));
    }

    private static Signal DenseChain(NetworkSketch s)
    {
        var x = s.Input(Width(s));
        for (var k = s.Random.Next(1, 6); k > 0; k--)
        {
            x = s.Activate(s.Dense(x, Width(s)));
        }

        return x;
    }

    private static Signal ConvolutionChain(NetworkSketch s, Signal x, int kernelHeight)
    {
        for (var k = s.Random.Next(1, 4); k > 0; k--)
        {
            x = s.Activate(s.Convolve(x, SmallWidth(s), kernelHeight, 3, stride: s.Random.Pick(1, 1, 2)));
        }

        return s.Dense(s.Random.Chance(0.5) ? s.MaxPool(x) : x, Width(s));
    }

    private static Signal Branch(NetworkSketch s, Signal x, int outputs, int stride = 1) =>
        s.MaybeBias(s.Convolve(s.Activate(s.Convolve(x, SmallWidth(s), 3, 3, stride: stride)), outputs, 3, 3, gain: 0.5));

    private static Signal Stem(NetworkSketch s, int width) => s.Activate(s.Convolve(s.Input(3, 4, 4), width, 3, 3));

    private static Signal Residual(NetworkSketch s)
    {
        var x = Stem(s, s.Random.Pick(2, 3, 5, 8, 17, 32));
        for (var block = s.Random.Next(1, 5); block > 0; block--)
        {
            x = s.Activate(s.Add(x, Branch(s, x, x.Channels)));
        }

        return x;
    }

    private static Signal Downsample(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        for (var stage = s.Random.Next(1, 3); stage > 0; stage--)
        {
            var width = SmallWidth(s);
            x = s.Activate(s.Add(s.Convolve(x, width, 1, 1, stride: 2), Branch(s, x, width, stride: 2)));
            x = s.Activate(s.Add(x, Branch(s, x, width)));
        }

        return x;
    }

    private static Signal DenseBlocks(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        for (var layer = s.Random.Next(2, 5); layer > 0; layer--)
        {
            x = s.Concat(x, s.Activate(s.Convolve(x, SmallWidth(s), 3, 3)));
        }

        return x;
    }

    private static Signal ConcatWithAdd(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        var (a, b) = (s.Activate(s.Convolve(x, SmallWidth(s), 3, 3)), s.Convolve(x, SmallWidth(s), 1, 1));
        var whole = s.Add(s.Concat(a, b), s.Convolve(x, a.Channels + b.Channels, 3, 3));
        var reordered = s.Concat(s.Slice(whole, a.Channels, b.Channels), s.Slice(whole, 0, a.Channels));
        return s.Concat(s.Activate(s.Convolve(reordered, SmallWidth(s), 1, 1)), a);
    }

    private static Signal Split(NetworkSketch s)
    {
        var x = Stem(s, s.Random.Pick(5, 8, 17));
        var at = s.Random.Next(1, x.Channels);
        var width = SmallWidth(s);
        var left = s.Convolve(s.Slice(x, 0, at), width, 3, 3);
        var right = s.Convolve(s.Slice(x, at, x.Channels - at), width, 1, 1);
        return s.Add(s.Activate(left), s.Activate(right));
    }

    private static Signal InvertedResidual(NetworkSketch s, Signal x, int outputs)
    {
        var expanded = s.Activate(s.Convolve(x, 2 * SmallWidth(s), 1, 1));
        var deep = s.Activate(s.Convolve(expanded, expanded.Channels, 3, 3, groups: expanded.Channels));
        return s.MaybeBias(s.Convolve(deep, outputs, 1, 1));
    }

    private static Signal DepthwisePairs(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        for (var block = s.Random.Next(1, 4); block > 0; block--)
        {
            x = s.Random.Chance(0.5) ? s.Add(x, InvertedResidual(s, x, x.Channels)) : InvertedResidual(s, x, SmallWidth(s));
        }

        return x;
    }

    private static Signal DepthwiseMultiplier(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        return s.Convolve(x, x.Channels * s.Random.Pick(1, 2, 3), 3, 3, groups: x.Channels);
    }

    private static Signal Grouped(NetworkSketch s)
    {
        var groups = s.Random.Pick(2, 3, 4);
        var x = Stem(s, groups * s.Random.Pick(1, 2, 5, 8));
        x = s.Activate(s.Convolve(x, groups * s.Random.Pick(1, 2, 5, 8), 3, 3, groups));
        return s.Convolve(x, groups * s.Random.Pick(1, 3), 1, 1, groups);
    }

    // The two uses of one square tensor are apart: inputs merge with inputs, outputs with outputs.
    private static Signal Tied(NetworkSketch s)
    {
        var width = s.Random.Pick(2, 3, 5, 8, 17);
        var x = s.Activate(s.Dense(s.Input(Width(s)), width));
        x = s.Activate(s.Dense(x, width, "shared"));
        x = s.Activate(s.Dense(x, width));
        return s.Dense(x, width, "shared");
    }

    // Twice in a row: what it reads and what it writes become one group.
    private static Signal TiedNeighbours(NetworkSketch s)
    {
        var width = s.Random.Pick(2, 3, 5, 8, 17);
        var x = s.Activate(s.Dense(s.Input(Width(s)), width));
        x = s.Activate(s.Dense(x, width, "shared"));
        return s.Dense(x, width, "shared");
    }

    private static Signal SelfEdge(NetworkSketch s)
    {
        var x = Stem(s, s.Random.Pick(2, 3, 5, 8, 17));
        x = s.Add(x, s.Convolve(s.Activate(x), x.Channels, 3, 3, gain: 0.5));
        return s.Add(s.Convolve(x, x.Channels, 3, 3), s.Convolve(x, x.Channels, 1, 1), x);
    }

    private static Signal Diagonal(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        var y = s.Activate(s.MaybeBias(s.Diagonal(s.Add(x, Branch(s, x, x.Channels)))));
        return s.Concat(s.Convolve(y, SmallWidth(s), 3, 3), y);
    }

    private static Signal DiagonalOverConcat(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        var (a, b) = (s.Convolve(x, SmallWidth(s), 3, 3), s.Convolve(x, SmallWidth(s), 1, 1));
        return s.Convolve(s.Activate(s.Diagonal(s.Concat(x, a, b))), SmallWidth(s), 3, 3);
    }

    // In training: behind a convolution, on the way into a residual stream, behind a concatenation, before what is not normalised.
    private static Signal BatchNormalized(NetworkSketch s)
    {
        var x = s.Activate(s.BatchNormalization(s.Convolve(s.Input(3, 4, 4), SmallWidth(s), 3, 3)));
        for (var block = s.Random.Next(1, 5); block > 0; block--)
        {
            x = s.Random.Next(4) switch
            {
                0 => s.Activate(s.Add(x, s.BatchNormalization(s.Convolve(s.Activate(s.BatchNormalization(s.Convolve(x, SmallWidth(s), 3, 3))), x.Channels, 3, 3)))),
                1 => s.Activate(s.BatchNormalization(s.Concat(x, s.Convolve(x, SmallWidth(s), 3, 3)))),
                2 => s.BatchNormalization(s.Convolve(x, SmallWidth(s), 1, 1)),
                _ => s.Activate(s.Convolve(x, SmallWidth(s), 3, 3)),
            };
        }

        return x;
    }

    private static Signal Shuffle(NetworkSketch s)
    {
        var x = Stem(s, 2 * s.Random.Pick(1, 2, 3, 5, 8));
        x = s.Activate(s.Convolve(x, x.Channels, 1, 1, groups: 2));
        var half = x.Channels / 2;
        x = s.Select(x, [.. Enumerable.Range(0, x.Channels).Select(c => c % 2 * half + c / 2)]);
        x = s.Convolve(x, x.Channels, 3, 3, groups: x.Channels);
        return s.Convolve(x, x.Channels, 1, 1, groups: 2);
    }

    // One weight reads the same channel at several positions.
    private static Signal Repeated(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        var y = s.Activate(s.Convolve(s.Concat(x, s.Select(x, [0, x.Channels - 1, 0]), x), SmallWidth(s), 3, 3));
        return s.Select(y, [.. Enumerable.Range(0, y.Channels).SelectMany(c => new[] { c, c })]);
    }

    // One weight writes the same channel at several positions, and a tie within one activation makes edges from a channel to itself.
    private static Signal Folded(NetworkSketch s)
    {
        var half = s.Random.Pick(1, 2, 5, 8);
        var x = Stem(s, 2 * half);
        x = s.Activate(s.Add(s.Slice(x, 0, half), s.Slice(x, half, half)));
        var y = s.Activate(s.Convolve(x, 2 * half, 3, 3));
        return s.Add(s.Slice(s.Convolve(y, 2 * half + 1, 1, 1), 1, 2 * half), y);
    }

    private static Signal TwoHeads(NetworkSketch s)
    {
        var x = Stem(s, SmallWidth(s));
        s.Output(s.Dense(s.GlobalAverage(s.Activate(s.Convolve(x, SmallWidth(s), 3, 3))), 3));
        return s.Convolve(x, SmallWidth(s), 1, 1);
    }

    private static Signal Mixed(NetworkSketch s)
    {
        var x = Stem(s, s.Random.Pick(3, 5, 8));
        for (var block = s.Random.Next(2, 6); block > 0; block--)
        {
            x = s.Random.Next(7) switch
            {
                0 => s.Add(x, Branch(s, x, x.Channels)),
                1 => s.Add(s.Convolve(x, 8, 1, 1), Branch(s, x, 8)),
                2 => s.Concat(s.Activate(s.Convolve(x, SmallWidth(s), 3, 3)), x),
                3 => InvertedResidual(s, x, SmallWidth(s)),
                4 => s.Add(x, InvertedResidual(s, x, x.Channels)),
                5 => s.Add(x, s.Convolve(x, x.Channels, 1, 1)),
                _ => s.Diagonal(s.Activate(x)),
            };
        }

        return x;
    }
}
