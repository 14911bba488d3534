namespace EquiNorm.Samples.Training;

/// <summary>Points of intertwined spirals, to be told apart: a small problem for which depth is needed.</summary>
internal sealed class Spirals(int classes, int seed)
{
    private readonly Random _random = new(seed);

    /// <summary>Inputs of each example.</summary>
    public const int Inputs = 2;

    /// <summary>Draws a batch: [batch, 2] points and their spirals.</summary>
    public (float[] Points, int[] Labels) Draw(int batch)
    {
        var points = new float[batch * Inputs];
        var labels = new int[batch];
        for (var n = 0; n < batch; n++)
        {
            labels[n] = _random.Next(classes);
            var t = Math.Sqrt(_random.NextDouble());
            var angle = 2 * Math.PI * labels[n] / classes + 12 * t + 0.15 * (_random.NextDouble() - 0.5);
            points[n * Inputs] = (float)(2 * t * Math.Cos(angle));
            points[n * Inputs + 1] = (float)(2 * t * Math.Sin(angle));
        }

        return (points, labels);
    }
}
