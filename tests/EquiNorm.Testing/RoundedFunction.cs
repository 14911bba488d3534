using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>
/// Whether outputs differ by no more than rounding. How far the rounding of its elements moves an output of a network is found by doing it: every
/// element, and every output and input channel of every weight, is multiplied by a random 1 + gamma, |gamma| up to the unit roundoff of its type,
/// in samples of which the root mean square is taken. Each output is held against its own, so outputs that cancel, normalisations of nearly
/// constant images and deep networks get what they need and no more; a worst-case bound would grow with the product of the weights' row sums.
/// The rounding of the evaluator itself is in the samples as it is in the outputs.
/// </summary>
public static class RoundedFunction
{
    // By Student's t of 16 degrees of freedom one of 10^10 outputs is further than 16 root mean squares from where it was.
    private const int Samples = 16;
    private const double Widest = 16;

    // What a factor may be off by: exponentials and products in float64.
    private const double FactorRounding = 8 * 1.2e-16;

    /// <summary>
    /// max |y - y'| over the outputs, each in units of what rounding explains: at most 1 if the function is the same, infinity for NaN.
    /// </summary>
    /// <param name="expected">y: outputs of the original network.</param>
    /// <param name="actual">The network whose elements were rounded.</param>
    /// <param name="inputs">Seed of the inputs of both.</param>
    /// <param name="roundings">How often each element was rounded.</param>
    public static double Excess(IReadOnlyList<double> expected, TestNetwork actual, int inputs, int roundings = 1)
    {
        var outputs = actual.Run(inputs);
        var squares = new double[outputs.Length];
        for (var sample = 0; sample < Samples; sample++)
        {
            var moved = actual.WithElements(Perturbation(new Random(sample), roundings)).Run(inputs);
            for (var n = 0; n < squares.Length; n++)
            {
                squares[n] += (moved[n] - outputs[n]) * (moved[n] - outputs[n]) / Samples;
            }
        }

        var excess = 0.0;
        for (var n = 0; n < outputs.Length; n++)
        {
            var difference = Math.Abs(outputs[n] - expected[n]);
            var ratio = difference == 0 ? 0 : difference / (Widest * Math.Sqrt(squares[n]));
            excess = double.IsNaN(ratio) ? double.PositiveInfinity : Math.Max(excess, ratio);
        }

        return expected.Count == outputs.Length ? excess : double.PositiveInfinity;
    }

    // Channels move as a whole, too: a factor that is a little off is off for all of their elements.
    private static Func<Weight, Func<int, int, double, double>> Perturbation(Random random, int roundings) => weight =>
    {
        var gamma = roundings * (weight.ElementType.UnitRoundoff() + FactorRounding);
        var smallest = weight.ElementType == ElementType.Float16 ? roundings * Math.ScaleB(1, -25) : 0; // half of the distance of subnormal numbers
        var outputs = Array.ConvertAll(new double[weight.Layout.Outputs], _ => 1 + FactorRounding * roundings * Any());
        var inputs = Array.ConvertAll(new double[weight.Layout.Inputs], _ => 1 + FactorRounding * roundings * Any());
        return (o, i, w) => w * outputs[o] * inputs[i] * (1 + gamma * Any()) + smallest * Any();

        double Any() => 2 * random.NextDouble() - 1;
    };
}
