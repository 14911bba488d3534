using EquiNorm.Backends;
using EquiNorm.Backends.Cpu;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

/// <summary>The first sweep against its formula by plain loops over edges, and against F.</summary>
public sealed class FirstSweepTests
{
    [Test]
    public void Channels_go_where_the_share_of_their_group_says([Values(1, 2)] double norm, [Values(1, 31, 32, 33, 257)] int width)
    {
        var network = RandomNetworks.Chain(TestSeeds.Of("first", width), [7, width, 40, 65, 5], Plain());
        using var sweep = new Sweep(network, norm);

        Assert.That(sweep.Shares[2], Is.LessThan(0.8), $"rows that differ by exp(6) and more, {TestSeeds.Repeat}");
        Assert.That(sweep.Shares[3], Is.EqualTo(1), "the outputs do not move");
        foreach (var unit in sweep.Plan.Units.ToArray())
        {
            var expected = sweep.Expected(unit.Group);
            sweep.Update(unit);

            Assert.That(sweep.LogFactors(unit.Group), Is.EqualTo(expected).Within(1e-10), $"group {unit.Group}, {TestSeeds.Repeat}");
        }
    }

    // Channels whose energies differ by exp(12): to make them equal is a bad update, however little is known of the outgoing side.
    [Test]
    public void The_objective_never_rises([Values(1, 2, 3)] double norm)
    {
        for (var draw = 0; draw < 20; draw++)
        {
            var seed = TestSeeds.Of("first rises", draw);
            var random = new Random(seed);
            var network = RandomNetworks.Chain(seed, [9, 30, 40, 20, 10], Plain());
            foreach (var group in network.Network.Groups.Where(g => !g.IsPinned))
            {
                var energies = Enumerable.Range(0, group.Count).Select(_ => Math.Exp(3 * random.Normal())).ToArray();
                foreach (var weight in network.Network.Weights)
                {
                    foreach (var (o, i, at) in TestNetwork.Elements(weight.Layout))
                    {
                        network[weight.Name][at] *= weight.Outputs.Ranges[0].Group == group.Index ? energies[o]
                            : weight.Inputs.Ranges[0].Group == group.Index ? energies[i] : 1;
                    }
                }
            }

            using var sweep = new Sweep(network, norm);
            var before = sweep.LogObjective();
            foreach (var unit in sweep.Plan.Units.ToArray())
            {
                sweep.Update(unit);
                var after = sweep.LogObjective();

                Assert.That(after, Is.LessThanOrEqualTo(before + 1e-12), $"draw {draw}, group {unit.Group}, {TestSeeds.Repeat}");
                before = after;
            }
        }
    }

    [TestCaseSource(typeof(RandomNetworks), nameof(RandomNetworks.Families))]
    public void What_is_balanced_stays(string family)
    {
        var network = RandomNetworks.Create(family, TestSeeds.Of(family, 140));
        var problem = new RescalingProblem(network.Network);
        using var tensors = network.Bind();
        var options = new RescalingOptions { Order = SweepOrder.ForwardBackward };
        var solved = EquiNorm.Solve.RescalingSolver.Solve(problem, tensors, options with { Tolerance = 1e-12 });
        var again = EquiNorm.Solve.RescalingSolver.Solve(problem, tensors, options, start: solved.Scalings);

        Assert.That(again.Status, Is.EqualTo(EquiNorm.Solve.RescalingStatus.Converged), TestSeeds.Repeat);
        Assert.That(again.Objective, Is.LessThanOrEqualTo(solved.Objective * (1 + 1e-13)), TestSeeds.Repeat);
    }

    private static SketchOptions Plain() => new() { ElementTypes = [ElementType.Float64], OutputScale = 0, Sparsity = 0 };

    // A state in its first sweep, and the formula of it.
    private sealed class Sweep : IDisposable
    {
        private readonly OracleProblem _oracle;
        private readonly NetworkTensors _tensors;
        private readonly CpuBackend _backend = new(2);
        private readonly RescalingState _state;
        private readonly double _norm;
        private readonly int[] _groupOf;

        public Sweep(TestNetwork network, double norm)
        {
            _norm = norm;
            _tensors = network.Bind();
            var problem = new RescalingProblem(network.Network) { Norm = norm };
            _oracle = new OracleProblem(_tensors, norm);
            Plan = RescalingPlan.Create(problem);
            _state = _backend.CreateState(Plan, _tensors);
            _state.Load(new double[network.Network.ChannelCount], EnergyUse.Keep);
            _groupOf = [.. network.Network.Groups.SelectMany(g => Enumerable.Repeat(g.Index, g.Count))];
            Shares = FindShares();
            _state.BeginFirstSweep();
        }

        public RescalingPlan Plan { get; }

        /// <summary>By group.</summary>
        public double[] Shares { get; }

        public double LogObjective() => _oracle.LogObjective(U());

        public double[] LogFactors(int group)
        {
            var channels = Plan.Groups[group].Group;
            return U().AsSpan(channels.FirstChannel, channels.Count).ToArray();
        }

        public void Update(UpdateUnit unit)
        {
            _state.Refresh([unit]);
            _state.Update([unit]);
        }

        /// <summary>Where the group's channels should go.</summary>
        public double[] Expected(int group)
        {
            var (a, b) = Sides();
            var u = U();
            var channels = Plan.Groups[group].Group;
            var (first, count, share) = (channels.FirstChannel, channels.Count, Shares[group]);

            // Without the channels' own factors.
            var logA = Enumerable.Range(first, count).Select(c => Math.Log(a[c]) - _norm * u[c]).ToArray();
            var logB = Enumerable.Range(first, count).Select(c => Math.Log(b[c]) + _norm * u[c]).ToArray();
            var closed = logA.Zip(logB, (x, y) => (y - x) / 2).ToArray();
            var partly = logA.Zip(logB, (x, y) => -x + share / 2 * (x + y)).ToArray();
            var (from, to) = (logA.Zip(partly, (x, v) => Math.Exp(x + v)).Sum(), logB.Zip(partly, (y, v) => Math.Exp(y - v)).Sum());
            var (oldFrom, oldTo) = (Enumerable.Range(first, count).Sum(c => a[c]), Enumerable.Range(first, count).Sum(c => b[c]));
            var constant = Math.Log(to / from) / 2;
            return share < 1 && from * to <= oldFrom * oldTo
                ? [.. partly.Select(v => (v + constant) / _norm)]
                : [.. closed.Select(v => v / _norm)];
        }

        public void Dispose()
        {
            _state.Dispose();
            _backend.Dispose();
            _tensors.Dispose();
        }

        private double[] U()
        {
            var u = new double[Plan.Problem.Network.ChannelCount];
            _state.ReadLogFactors(u);
            return u;
        }

        private (double[] Incoming, double[] Outgoing) Sides()
        {
            var u = U();
            var (a, b) = (new double[u.Length], new double[u.Length]);
            foreach (var edge in _oracle.Edges)
            {
                var flow = Math.Exp(edge.LogEnergy + _norm * (u[edge.Output] - u[edge.Input]));
                a[edge.Output] += flow;
                b[edge.Input] += flow;
            }

            return (a, b);
        }

        private double[] FindShares()
        {
            var (a, b) = Sides();
            var shares = new double[Plan.Groups.Count];
            Array.Fill(shares, 1);
            foreach (var group in Plan.Groups.Select(g => g.Group).Where(g => !g.IsPinned))
            {
                var (now, then, nowTwice, nowAndThen) = (0.0, 0.0, 0.0, 0.0);
                var rows = _oracle.Edges.Where(e => _groupOf[e.Input] == group.Index).GroupBy(e => e.Output);
                foreach (var row in rows)
                {
                    var energy = row.Sum(e => Math.Exp(e.LogEnergy));
                    var later = energy * (Plan.Groups[_groupOf[row.Key]].Group.IsPinned ? 1 : Math.Sqrt(b[row.Key] / a[row.Key]));
                    now += energy;
                    then += later;
                    nowTwice += energy * energy;
                    nowAndThen += energy * later;
                }

                shares[group.Index] = Math.Min(1, nowAndThen / (now * then) / (nowTwice / (now * now)));
            }

            return shares;
        }
    }
}
