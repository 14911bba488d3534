// Trains a deep ReLU network on spirals with SGD and momentum, twice from the same weights: plain, and with a step of Equi-normalization
// behind each step of the optimizer. Prints both losses and what the rescaling costs, and writes the curves to an SVG.
using System.Diagnostics;
using System.Globalization;
using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Problem;

namespace EquiNorm.Samples.Training;

/// <summary>dotnet run -c Release --project samples/training -- [--steps N] [--hidden LAYERS] [--width W] [--unequal SIGMA] [--rate R] [--plot FILE.svg]</summary>
internal static class Program
{
    private const int Classes = 3;
    private const int Batch = 128;
    private const float Momentum = 0.9f;

    public static int Main(string[] arguments)
    {
        var settings = new Dictionary<string, string>
        {
            ["--steps"] = "1500",
            ["--hidden"] = "10",
            ["--width"] = "64",
            ["--unequal"] = "0",
            ["--rate"] = "0.01",
            ["--plot"] = "training.svg",
        };
        for (var n = 0; n < arguments.Length; n += 2)
        {
            if (!settings.ContainsKey(arguments[n]) || n + 1 == arguments.Length)
            {
                Console.Error.WriteLine($"Unknown option, or no value: '{arguments[n]}'. There are {string.Join(", ", settings.Keys)}.");
                return 2;
            }

            settings[arguments[n]] = arguments[n + 1];
        }

        if (!int.TryParse(settings["--steps"], CultureInfo.InvariantCulture, out var steps) || steps < 1
            || !int.TryParse(settings["--hidden"], CultureInfo.InvariantCulture, out var hidden) || hidden < 1
            || !int.TryParse(settings["--width"], CultureInfo.InvariantCulture, out var width) || width < 1
            || !double.TryParse(settings["--unequal"], CultureInfo.InvariantCulture, out var unequal)
            || !float.TryParse(settings["--rate"], CultureInfo.InvariantCulture, out var rate))
        {
            Console.Error.WriteLine("--steps, --hidden and --width take whole numbers from 1, --unequal and --rate numbers.");
            return 2;
        }

        int[] widths = [Spirals.Inputs, .. Enumerable.Repeat(width, hidden), Classes];
        Console.WriteLine($"{hidden} hidden layers of {width}, {Classes} spirals, SGD with momentum {Momentum} at rate {rate}, batch {Batch}, {steps} steps");
        var plain = Train(new ReluNetwork(widths, Batch, seed: 1, unequal), steps, rate, session: null);
        var network = new ReluNetwork(widths, Batch, seed: 1, unequal);
        using var session = CreateSession(network, widths);
        var rescaled = Train(network, steps, rate, session);

        Console.WriteLine();
        Console.WriteLine("                     plain SGD    with ENorm");
        foreach (var step in (int[])[0, steps / 4, steps / 2, 3 * steps / 4, steps - 1])
        {
            Console.WriteLine($"loss at step {step + 1,5}   {plain.Losses[step],9:0.0000}     {rescaled.Losses[step],9:0.0000}");
        }

        Console.WriteLine($"milliseconds a step  {plain.StepMilliseconds,9:0.000}     {rescaled.StepMilliseconds,9:0.000}   of which ENorm {rescaled.SessionMilliseconds:0.000}");
        LossPlot.Write(
            settings["--plot"],
            "Training loss of a deep ReLU network, with and without Equi-normalization",
            [("plain SGD", "#c2572b", plain.Losses), ("SGD with ENorm", "#2b6cc2", rescaled.Losses)]);
        Console.WriteLine($"curves in {settings["--plot"]}");
        return 0;
    }

    // Declares the network once, and binds the arrays that the training works on, momenta included.
    private static RescalingSession CreateSession(ReluNetwork network, int[] widths)
    {
        var builder = new NetworkBuilder();
        var axis = builder.Input("point", widths[0]);
        for (var l = 0; l < network.Layers; l++)
        {
            axis = builder.Weight(new($"weight{l}", ElementType.Float32, WeightLayout.Dense(widths[l + 1], widths[l])), axis);
            builder.Bias($"bias{l}", ElementType.Float32, axis);
        }

        builder.Output(axis);
        var session = new RescalingSession(new RescalingProblem(builder.Build()));
        for (var l = 0; l < network.Layers; l++)
        {
            session.Bind($"weight{l}", network.Weights[l]);
            session.Bind($"bias{l}", network.Biases[l]);
            session.BindCompanion($"weight{l}", CompanionKind.FirstMoment, network.WeightMomenta[l]);
            session.BindCompanion($"bias{l}", CompanionKind.FirstMoment, network.BiasMomenta[l]);
        }

        return session;
    }

    private static (double[] Losses, double StepMilliseconds, double SessionMilliseconds) Train(
        ReluNetwork network, int steps, float rate, RescalingSession? session)
    {
        var data = new Spirals(Classes, seed: 2);
        var losses = new double[steps];
        var (all, rescaling) = (new Stopwatch(), new Stopwatch());
        for (var step = 0; step < steps; step++)
        {
            var (points, labels) = data.Draw(Batch);
            all.Start();
            losses[step] = network.Train(points, labels, rate, Momentum);
            if (!double.IsFinite(losses[step]))
            {
                // Diverged: a step on such weights would be refused.
                Array.Fill(losses, double.NaN, step, steps - step);
                break;
            }

            rescaling.Start();
            session?.Step();
            rescaling.Stop();
            all.Stop();
        }

        return (LossPlot.Smooth(losses, 50), all.Elapsed.TotalMilliseconds / steps, rescaling.Elapsed.TotalMilliseconds / steps);
    }
}
