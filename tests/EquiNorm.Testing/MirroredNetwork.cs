using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>
/// A chain of grouped convolutions whose weights are stored outputs first or inputs first (transposed convolutions): the same numbers at
/// other addresses, so all that is computed from them must be the same.
/// </summary>
public sealed class MirroredNetwork : IDisposable
{
    private static readonly (int Outputs, int Kernel, int Groups)[] Layers = [(6, 4, 1), (8, 9, 2), (8, 3, 8), (4, 2, 4), (12, 5, 4), (66, 1, 3), (2, 9, 1)];

    private readonly List<(WeightLayout Layout, float[] Elements)> _weights = [];

    public MirroredNetwork(bool inputsFirst)
    {
        var random = new Random(31);
        var builder = new NetworkBuilder();
        var axis = builder.Input("x", 3);
        foreach (var (outputs, kernel, groups) in Layers)
        {
            var layout = inputsFirst
                ? WeightLayout.TransposedConvolution(outputs, axis.Length, kernel, groups)
                : WeightLayout.Convolution(outputs, axis.Length, kernel, groups);
            var elements = new float[layout.Elements];
            foreach (var (o, _, at) in TestNetwork.Elements(layout))
            {
                elements[at] = (float)(random.Normal() * Math.Exp(o % 5));
            }

            axis = builder.Weight(new WeightDeclaration($"w{_weights.Count}", ElementType.Float32, layout), axis);
            _weights.Add((layout, elements));
        }

        builder.Output(axis);
        Tensors = new NetworkTensors(builder.Build());
        for (var n = 0; n < _weights.Count; n++)
        {
            Tensors.Bind($"w{n}", _weights[n].Elements);
        }
    }

    public NetworkTensors Tensors { get; }

    /// <summary>All elements, in an order that does not depend on where they lie.</summary>
    public float[] Elements => [.. _weights.SelectMany(w => TestNetwork.Elements(w.Layout).Select(e => w.Elements[e.Address]))];

    public void Dispose() => Tensors.Dispose();
}
