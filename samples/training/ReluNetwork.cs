using System.Numerics.Tensors;

namespace EquiNorm.Samples.Training;

/// <summary>
/// A fully connected ReLU network in float32 with its gradient and SGD with momentum: just enough to train something. Not a part of the
/// package.
/// </summary>
internal sealed class ReluNetwork
{
    private readonly int[] _widths;
    private readonly int _batch;
    private readonly float[][] _activations;
    private readonly float[][] _deltas;

    /// <param name="widths">Inputs, hidden layers, outputs.</param>
    /// <param name="batch">Examples in a step.</param>
    /// <param name="seed">Decides the initial weights.</param>
    /// <param name="unequal">Deviation of the log factors that make hidden channels unequal without changing the function; 0: Kaiming's weights.</param>
    public ReluNetwork(int[] widths, int batch, int seed, double unequal)
    {
        _widths = widths;
        _batch = batch;
        _activations = [.. widths.Select(w => new float[batch * w])];
        _deltas = [.. widths.Select(w => new float[batch * w])];
        var random = new Random(seed);
        var incoming = Ones(widths[0]);
        for (var l = 0; l < Layers; l++)
        {
            var hidden = l + 1 < Layers;
            var outgoing = Ones(widths[l + 1]);
            for (var o = 0; hidden && o < outgoing.Length; o++)
            {
                outgoing[o] = Math.Exp(unequal * Normal(random));
            }

            var deviation = Math.Sqrt(2.0 / widths[l]);
            var weight = new float[widths[l + 1] * widths[l]];
            for (var e = 0; e < weight.Length; e++)
            {
                weight[e] = (float)(deviation * Normal(random) * outgoing[e / widths[l]] / incoming[e % widths[l]]);
            }

            Weights.Add(weight);
            Biases.Add(new float[widths[l + 1]]);
            WeightMomenta.Add(new float[weight.Length]);
            BiasMomenta.Add(new float[widths[l + 1]]);
            incoming = outgoing;
        }
    }

    /// <summary>Number of layers with weights.</summary>
    public int Layers => _widths.Length - 1;

    /// <summary>[outputs, inputs] of each layer.</summary>
    public List<float[]> Weights { get; } = [];

    /// <summary>[outputs] of each layer.</summary>
    public List<float[]> Biases { get; } = [];

    /// <summary>SGD's momentum of each weight.</summary>
    public List<float[]> WeightMomenta { get; } = [];

    /// <summary>SGD's momentum of each bias.</summary>
    public List<float[]> BiasMomenta { get; } = [];

    /// <summary>One step of SGD with momentum on the mean cross entropy of a batch.</summary>
    /// <param name="inputs">[batch, inputs].</param>
    /// <param name="labels">The class of each example.</param>
    /// <param name="rate">Learning rate.</param>
    /// <param name="momentum">Share of the momentum that stays.</param>
    /// <returns>The loss before the step.</returns>
    public double Train(float[] inputs, int[] labels, float rate, float momentum)
    {
        inputs.CopyTo(_activations[0], 0);
        Parallel.For(0, _batch, Forward);
        var losses = new double[_batch];
        Parallel.For(0, _batch, example =>
        {
            losses[example] = Loss(example, labels[example]);
            Backward(example);
        });
        for (var l = 0; l < Layers; l++)
        {
            Update(l, rate, momentum);
        }

        return losses.Average();
    }

    private void Forward(int example)
    {
        for (var l = 0; l < Layers; l++)
        {
            var below = Row(_activations, l, example);
            var above = Row(_activations, l + 1, example);
            for (var o = 0; o < above.Length; o++)
            {
                var sum = TensorPrimitives.Dot<float>(Weights[l].AsSpan(o * below.Length, below.Length), below) + Biases[l][o];
                above[o] = l + 1 < Layers ? Math.Max(0, sum) : sum;
            }
        }
    }

    // Softmax and cross entropy; leaves the gradient at the outputs.
    private double Loss(int example, int label)
    {
        var logits = Row(_activations, Layers, example);
        var delta = Row(_deltas, Layers, example);
        TensorPrimitives.SoftMax<float>(logits, delta);
        var loss = -Math.Log(Math.Max(delta[label], 1e-30f));
        delta[label] -= 1;
        TensorPrimitives.Multiply(delta, 1f / _batch, delta);
        return loss;
    }

    private void Backward(int example)
    {
        for (var l = Layers - 1; l > 0; l--)
        {
            var above = Row(_deltas, l + 1, example);
            var below = Row(_deltas, l, example);
            var activation = Row(_activations, l, example);
            below.Clear();
            for (var o = 0; o < above.Length; o++)
            {
                if (above[o] != 0)
                {
                    TensorPrimitives.MultiplyAdd(Weights[l].AsSpan(o * below.Length, below.Length), above[o], below, below);
                }
            }

            for (var i = 0; i < below.Length; i++)
            {
                below[i] = activation[i] > 0 ? below[i] : 0;
            }
        }
    }

    private void Update(int layer, float rate, float momentum)
    {
        var (inputs, outputs) = (_widths[layer], _widths[layer + 1]);
        Parallel.For(0, outputs, o =>
        {
            var buffer = WeightMomenta[layer].AsSpan(o * inputs, inputs);
            TensorPrimitives.Multiply(buffer, momentum, buffer);
            var bias = 0f;
            for (var example = 0; example < _batch; example++)
            {
                var delta = _deltas[layer + 1][example * outputs + o];
                bias += delta;
                if (delta != 0)
                {
                    TensorPrimitives.MultiplyAdd(Row(_activations, layer, example), delta, buffer, buffer);
                }
            }

            BiasMomenta[layer][o] = momentum * BiasMomenta[layer][o] + bias;
            Biases[layer][o] -= rate * BiasMomenta[layer][o];
            var weights = Weights[layer].AsSpan(o * inputs, inputs);
            TensorPrimitives.MultiplyAdd(buffer, -rate, weights, weights);
        });
    }

    private Span<float> Row(float[][] arrays, int layer, int example) => arrays[layer].AsSpan(example * _widths[layer], _widths[layer]);

    private static double[] Ones(int count) => [.. Enumerable.Repeat(1.0, count)];

    private static double Normal(Random random) =>
        Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
}
