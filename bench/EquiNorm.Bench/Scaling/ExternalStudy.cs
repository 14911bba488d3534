using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Backends;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Solve;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Bench.Scaling;

/// <summary>
/// The whole path for large models: an ONNX file whose weights lie in a data file beside it, opened, analysed, solved and written with the
/// factors applied, by streaming. Dense layers of 4096; the files are generated and removed again (twice the model's size on disk).
/// </summary>
internal static class ExternalStudy
{
    private const int Width = 4096;
    private const double ParametersPerLayer = (double)Width * Width;

    public static void Run(string folder, double largest, IBackend backend)
    {
        var text = new StringBuilder("# Scaling: ONNX models with external data\n\n");
        text.Append(CultureInfo.InvariantCulture, $"{ScalingStudy.Machine(Environment.ProcessorCount)}\n\n");
        text.Append("`dotnet run -c Release --project bench/EquiNorm.Bench -- scaling --only external`\n\n");
        text.Append("One run each; the files are in the page cache where they fit.\n\n");
        text.Append("| parameters | weights [MB] | analyse [s] | read and solve [s] | sweeps | gap | apply and write [s] | all [s] | all [MB/s] | managed heap [MB] |\n");
        text.Append("|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
        var points = new List<(double X, double Solve, double Write)>();
        foreach (var layers in new[] { 2, 6, 20, 60 }.Where(l => l * ParametersPerLayer <= largest * 1.05))
        {
            var scratch = Directory.CreateTempSubdirectory("equinorm-scaling-");
            try
            {
                var input = Write(scratch.FullName, layers);
                var began = Stopwatch.GetTimestamp();
                using var model = OnnxModel.Open(input);
                using var network = model.Analyze();
                var analyse = Stopwatch.GetElapsedTime(began).TotalSeconds;
                var result = RescalingSolver.Solve(new RescalingProblem(network.Network), network.Tensors, null, backend);
                var solve = Stopwatch.GetElapsedTime(began).TotalSeconds - analyse;
                network.Save(Path.Combine(scratch.FullName, "out.onnx"), result.Scalings!);
                var all = Stopwatch.GetElapsedTime(began).TotalSeconds;
                var megabytes = layers * ParametersPerLayer * 4 / 1e6;
                var heap = GC.GetTotalMemory(forceFullCollection: false) / 1e6;
                text.Append(CultureInfo.InvariantCulture, $"| {layers * ParametersPerLayer:G3} | {megabytes:F0} | {analyse:F2} | {solve:F2} | {result.Sweeps:F2} | {result.GapBound:G2} ")
                    .Append(CultureInfo.InvariantCulture, $"| {all - analyse - solve:F2} | {all:F2} | {megabytes / all:F0} | {heap:F0} |\n");
                points.Add((layers * ParametersPerLayer, 1e3 * solve, 1e3 * (all - analyse - solve)));
                Console.Error.WriteLine(FormattableString.Invariant($"external, {layers} layers: {all:F2} s"));
            }
            finally
            {
                scratch.Delete(recursive: true);
            }
        }

        File.WriteAllText(Path.Combine(folder, "external.md"), text.ToString());
        LogLogPlot.Write(
            Path.Combine(folder, "external.svg"), "ONNX models with external data", "parameters", "milliseconds",
            [new("read and solve to 1e-8", [.. points.Select(p => (p.X, p.Solve))]), new("apply and write", [.. points.Select(p => (p.X, p.Write))])]);
    }

    // MatMul and Relu in turn; every element uniform in (-1, 1), times a factor of its row that spans three decades.
    private static string Write(string folder, int layers)
    {
        var writer = new OnnxModelWriter().Input("x0", -1, Width);
        for (var n = 0; n < layers; n++)
        {
            var last = n == layers - 1;
            writer.Child(5, writer.External(
                $"w{n}", 1, [Width, Width], ("location", "weights.bin"),
                ("offset", (n * (long)ParametersPerLayer * 4).ToString(CultureInfo.InvariantCulture)),
                ("length", ((long)ParametersPerLayer * 4).ToString(CultureInfo.InvariantCulture))));
            writer.Node("MatMul", [$"x{n}", $"w{n}"], [last ? "y" : $"h{n}"]);
            if (!last)
            {
                writer.Node("Relu", [$"h{n}"], [$"x{n + 1}"]);
            }
        }

        writer.Output("y", -1, Width);
        using (var data = File.Create(Path.Combine(folder, "weights.bin"), bufferSize: 1 << 20))
        {
            var random = new Random(1);
            var row = new float[Width];
            for (var r = 0L; r < (long)layers * Width; r++)
            {
                var factor = (float)Math.Pow(10, 3 * random.NextDouble() - 3);
                foreach (ref var element in row.AsSpan())
                {
                    element = (2 * random.NextSingle() - 1) * factor;
                }

                data.Write(MemoryMarshal.AsBytes(row.AsSpan()));
            }
        }

        return writer.Save(Path.Combine(folder, "in.onnx"));
    }
}
