using EquiNorm.Bench;
using EquiNorm.Model;
using EquiNorm.Problem;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>All groups of checks, by name.</summary>
/// <param name="device">What is checked.</param>
/// <param name="seed">Decides every random draw.</param>
/// <param name="draws">Networks of each family.</param>
internal sealed class CheckPlan(CheckDevice device, int seed, int draws)
{
    private static readonly ElementType[] Types = [ElementType.Float32, ElementType.Float64, ElementType.Float16, ElementType.BFloat16];

    // Some hundred elements; the odd widths have tails in every loop.
    private static readonly string[] SmallFamilies = ["dense chain", "grouped", "depthwise pairs", "mixed"];

    /// <summary>The groups in the order in which they run.</summary>
    public IEnumerable<(string Name, Action<CheckGroup> Run)> Groups()
    {
        foreach (var family in RandomNetworks.Families)
        {
            yield return (family, g => Family(g, family));
        }

        foreach (var type in Types)
        {
            yield return ($"scaling {type}", g => Scaling(g, type));
        }

        foreach (var type in Types)
        {
            yield return ($"misaligned {type}", g => Misaligned(g, type));
        }

        yield return ("not finite", NotFinite);
        yield return ("sessions", Sessions);
        yield return ("graph replay", Replay);
        foreach (var (name, create) in Larger())
        {
            yield return (name, g => Large(g, name, create));
        }

        if (device.Scale == CheckScale.Small)
        {
            yield return ("260 layers of 2", DeepSteps);
        }
    }

    private void Family(CheckGroup group, string family)
    {
        for (var draw = 0; draw < draws; draw++)
        {
            var number = Of(family, draw);
            var random = new Random(number);
            using var network = Draw(family, number, new SketchOptions { ElementTypes = Types }, draw, random);
            var problem = Problem(network.Network, draw);
            SolveChecks.Run(group, device, network, problem, $"{family}, draw {draw}, p = {problem.Norm}");

            // A step refuses separate output scales.
            using var plain = Draw(family, number, new SketchOptions { ElementTypes = Types, OutputScale = 0 }, draw, random);
            problem = Problem(plain.Network, draw);
            StepChecks.Run(group, device, plain, problem, $"{family}, draw {draw}, p = {problem.Norm}, step");
        }
    }

    private void Scaling(CheckGroup group, ElementType type)
    {
        foreach (var family in SmallFamilies)
        {
            for (var draw = 0; draw < draws; draw++)
            {
                var number = Of($"scale {family} {type}", draw);
                var network = RandomNetworks.Create(family, number, new SketchOptions { ElementTypes = [type], Strided = 0.5 });

                // Small factors, and factors that leave the range of every type but float64.
                ScaleChecks.Run(group, device, network, new Random(number), draw % 2 == 0 ? 1.5 : 20, $"{family}, draw {draw}");
            }
        }
    }

    private void Misaligned(CheckGroup group, ElementType type)
    {
        var bytes = Math.Max(4, type.ByteSize());
        foreach (var family in SmallFamilies)
        {
            var number = Of($"misaligned {family} {type}", 0);
            using var network = HostNetwork.Of(RandomNetworks.Create(family, number, new SketchOptions { ElementTypes = [type], OutputScale = 0, Strided = 0 }));
            var problem = new RescalingProblem(network.Network);
            SolveChecks.Misaligned(group, device, network, problem, bytes, $"{family}, {bytes} bytes off");
            StepChecks.Run(group, device, network, problem, $"{family}, {bytes} bytes off, step", bytes);
        }
    }

    private void NotFinite(CheckGroup group)
    {
        foreach (var type in Types)
        {
            foreach (var value in (ReadOnlySpan<double>)[double.NaN, double.PositiveInfinity])
            {
                var number = Of($"not finite {type}", 0);
                var network = RandomNetworks.Create("dense chain", number, new SketchOptions { ElementTypes = [type], OutputScale = 0 });
                var weight = network.Network.Weights.Last(w => w.Role == WeightRole.Weight);
                var (_, _, address) = TestNetwork.Elements(weight.Layout).ElementAt(new Random(number).Next((int)weight.Layout.Elements));
                network[weight.Name][address] = value;
                using var host = HostNetwork.Of(network);
                NonFiniteChecks.Run(group, device, host, $"{value} in {type}");
            }
        }
    }

    private void Sessions(CheckGroup group)
    {
        foreach (var family in RandomNetworks.Families)
        {
            var number = Of($"session {family}", 0);
            var network = RandomNetworks.Create(family, number, new SketchOptions { ElementTypes = Types, OutputScale = 0, Strided = 0 });
            SessionChecks.Run(group, device, network, family);
        }
    }

    private void Replay(CheckGroup group)
    {
        foreach (var family in RandomNetworks.Families)
        {
            if (device.Cuda is not { } queue)
            {
                group.Skip();
                continue;
            }

            var number = Of($"replay {family}", 0);
            using var network = HostNetwork.Of(RandomNetworks.Create(family, number, new SketchOptions { ElementTypes = Types, OutputScale = 0 }));
            StepChecks.Replay(group, queue, network, new RescalingProblem(network.Network), family);
        }
    }

    // A launch of the PTX machine takes a millisecond for some ten thousand elements: it gets the same shapes in small.
    private IEnumerable<(string Name, Func<HostNetwork> Create)> Larger()
    {
        if (device.Scale == CheckScale.Small)
        {
            yield return ("12 layers of 40", () => HostNetwork.Of(StandardNetworks.DenseChain([96, .. Enumerable.Repeat(40, 12), 10], seed)));
            yield break;
        }

        foreach (var name in (string[])["15x500", "conv-net", "resnet18", "mobilenet_v2", "100x64"])
        {
            yield return (name, () => HostNetwork.Of(StandardNetworks.Create(name, seed)));
        }

        yield return ("1000 layers of 32", () => HostNetwork.Of(StandardNetworks.DenseChain([32, .. Enumerable.Repeat(32, 1000), 10], seed)));
    }

    private void Large(CheckGroup group, string name, Func<HostNetwork> create)
    {
        using var network = create();
        foreach (var problem in (RescalingProblem[])[new(network.Network), new(network.Network) { Norm = 1, Penalty = WeightPenalty.Size }])
        {
            var context = $"{name}, p = {problem.Norm}";
            SolveChecks.Run(group, device, network, problem, context);
            StepChecks.Run(group, device, network, problem, $"{context}, step");
            if (device.Cuda is { } queue)
            {
                StepChecks.Replay(group, queue, network, problem, context);
            }
        }
    }

    // More groups than the device corrects. A solve of them takes minutes on the PTX machine; GPUs get 1000 layers.
    private void DeepSteps(CheckGroup group)
    {
        using var network = HostNetwork.Of(StandardNetworks.DenseChain([2, .. Enumerable.Repeat(2, 260), 2], seed));
        StepChecks.Run(group, device, network, new RescalingProblem(network.Network), "260 layers of 2, step");
    }

    private static HostNetwork Draw(string family, int number, SketchOptions options, int draw, Random random)
    {
        var network = RandomNetworks.Create(family, number, options);
        if (draw % 3 == 2)
        {
            RandomNetworks.Kill(network, random, channels: 3);
        }

        return HostNetwork.Of(network);
    }

    private static RescalingProblem Problem(Network network, int draw) => new(network)
    {
        Norm = (draw % 3) switch { 0 => 2, 1 => 1, _ => 1.5 },
        Penalty = (draw / 3 % 3) switch { 0 => WeightPenalty.Uniform, 1 => WeightPenalty.Size, _ => WeightPenalty.Depth(1.2) },
    };

    // The same in every process, whatever the order of groups.
    private int Of(string name, int number)
    {
        var hash = 17u + (uint)seed;
        foreach (var c in $"{name}/{number}")
        {
            hash = (hash ^ c) * 16777619u;
        }

        return (int)(hash >> 1);
    }
}
