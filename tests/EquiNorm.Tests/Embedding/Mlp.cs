namespace EquiNorm.Tests.Embedding;

/// <summary>
/// A ReLU network with biases and its gradient, by plain loops in float64: what trains in these tests. Parameters are rounded to float32
/// wherever they are stored, if asked.
/// </summary>
internal sealed class Mlp
{
    private readonly int[] _widths;

    public Mlp(Random random, int[] widths)
    {
        _widths = widths;
        for (var l = 0; l + 1 < widths.Length; l++)
        {
            var deviation = Math.Sqrt(2.0 / widths[l]);
            Parameters.Add([.. Enumerable.Range(0, widths[l + 1] * widths[l]).Select(_ => deviation * Normal(random))]);
            Parameters.Add([.. Enumerable.Range(0, widths[l + 1]).Select(_ => 0.1 * Normal(random))]);
        }
    }

    /// <summary>Weight [out, in] and bias [out] of each layer in turn.</summary>
    public List<double[]> Parameters { get; } = [];

    public static string Name(int parameter) => parameter % 2 == 0 ? $"w{parameter / 2}" : $"b{parameter / 2}";

    public double[] Forward(double[] input) => Activations(input)[^1];

    /// <summary>The sums of weighted inputs and bias of each layer in turn, in front of the activation.</summary>
    public List<double[]> Sums(double[] input)
    {
        var sums = new List<double[]>();
        for (var l = 0; l + 1 < _widths.Length; l++)
        {
            var (weights, below) = (Parameters[2 * l], l == 0 ? input : Relu(sums[^1]));
            var output = (double[])Parameters[2 * l + 1].Clone();
            for (var o = 0; o < output.Length; o++)
            {
                for (var i = 0; i < below.Length; i++)
                {
                    output[o] += weights[o * below.Length + i] * below[i];
                }
            }

            sums.Add(output);
        }

        return sums;
    }

    /// <summary>The gradient of |f(input) - target|^2 / 2, one array for each parameter.</summary>
    public List<double[]> Gradient(double[] input, double[] target)
    {
        var activations = Activations(input);
        var gradients = Parameters.Select(p => new double[p.Length]).ToList();
        var delta = activations[^1].Zip(target, (y, t) => y - t).ToArray();
        for (var l = _widths.Length - 2; l >= 0; l--)
        {
            var (weights, below) = (Parameters[2 * l], activations[l]);
            var next = new double[below.Length];
            for (var o = 0; o < delta.Length; o++)
            {
                gradients[2 * l + 1][o] = delta[o];
                for (var i = 0; i < below.Length; i++)
                {
                    gradients[2 * l][o * below.Length + i] = delta[o] * below[i];
                    next[i] += l > 0 && below[i] > 0 ? delta[o] * weights[o * below.Length + i] : 0;
                }
            }

            delta = next;
        }

        return gradients;
    }

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());

    private static double[] Relu(double[] sums) => Array.ConvertAll(sums, v => Math.Max(0, v));

    private List<double[]> Activations(double[] input)
    {
        var sums = Sums(input);
        return [input, .. sums[..^1].Select(Relu), sums[^1]];
    }
}
