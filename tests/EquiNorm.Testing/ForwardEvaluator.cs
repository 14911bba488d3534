using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>An activation [channels, height, width] in float64.</summary>
public sealed record Activation(int Channels, int Height, int Width, double[] Data)
{
    public Activation(int channels, int height, int width)
        : this(channels, height, width, new double[channels * height * width])
    {
    }

    public int Positions => Height * Width;

    public double this[int channel, int y, int x]
    {
        get => Data[(channel * Height + y) * Width + x];
        set => Data[(channel * Height + y) * Width + x] = value;
    }

    public Activation Map(Func<double, double> function) => this with { Data = [.. Data.Select(function)] };
}

/// <summary>Whether a weight's output scale is still beside the stored elements (before applying factors) or part of them (after).</summary>
public enum OutputScales
{
    Separate,
    BakedIn,
}

/// <summary>The operators that the generated networks are made of, by plain loops in float64.</summary>
public static class ForwardEvaluator
{
    /// <summary>
    /// Convolution of any grouping and storage; a dense layer is one with a kernel as large as the image and no padding.
    /// Kernel position k of the layout is row k / kernelWidth, column k % kernelWidth.
    /// </summary>
    public static Activation Convolve(
        Activation input, Func<int, int, int, double> weight, WeightLayout layout, int kernelWidth, int stride, int padding)
    {
        var kernelHeight = layout.Kernel / kernelWidth;
        var padY = Math.Min(padding, kernelHeight / 2);
        var padX = Math.Min(padding, kernelWidth / 2);
        var height = (input.Height + 2 * padY - kernelHeight) / stride + 1;
        var width = (input.Width + 2 * padX - kernelWidth) / stride + 1;
        var output = new Activation(layout.Outputs, height, width);
        for (var o = 0; o < layout.Outputs; o++)
        {
            var firstInput = o / layout.OutputsPerGroup * layout.InputsPerGroup;
            for (var i = 0; i < layout.InputsPerGroup; i++)
            {
                for (var k = 0; k < layout.Kernel; k++)
                {
                    var w = weight(o, i, k);
                    for (var y = 0; y < height; y++)
                    {
                        var fromY = y * stride + k / kernelWidth - padY;
                        for (var x = 0; x < width; x++)
                        {
                            var fromX = x * stride + k % kernelWidth - padX;
                            if (fromY >= 0 && fromY < input.Height && fromX >= 0 && fromX < input.Width)
                            {
                                output[o, y, x] += w * input[firstInput + i, fromY, fromX];
                            }
                        }
                    }
                }
            }
        }

        return output;
    }

    public static Activation AddBias(Activation input, Func<int, double> bias)
    {
        var output = input.Map(v => v);
        for (var i = 0; i < output.Data.Length; i++)
        {
            output.Data[i] += bias(i / input.Positions);
        }

        return output;
    }

    /// <summary>gamma (x - mean) / sqrt(variance + 1e-5) + beta with the statistics of the image itself: training, a batch of one.</summary>
    public static Activation BatchNormalization(Activation input, Func<int, double> gamma, Func<int, double> beta)
    {
        var output = new Activation(input.Channels, input.Height, input.Width);
        for (var c = 0; c < input.Channels; c++)
        {
            var x = input.Data.AsSpan(c * input.Positions, input.Positions);
            var (mean, variance) = (0.0, 0.0);
            foreach (var value in x)
            {
                mean += value / x.Length;
            }

            foreach (var value in x)
            {
                variance += (value - mean) * (value - mean) / x.Length;
            }

            for (var k = 0; k < x.Length; k++)
            {
                output.Data[c * input.Positions + k] = gamma(c) * (x[k] - mean) / Math.Sqrt(variance + 1e-5) + beta(c);
            }
        }

        return output;
    }

    public static Activation LeakyRelu(Activation input, double slope) => input.Map(v => v > 0 ? v : slope * v);

    public static Activation MaxPool2(Activation input)
    {
        var output = new Activation(input.Channels, (input.Height + 1) / 2, (input.Width + 1) / 2);
        Array.Fill(output.Data, double.NegativeInfinity);
        for (var c = 0; c < input.Channels; c++)
        {
            for (var y = 0; y < input.Height; y++)
            {
                for (var x = 0; x < input.Width; x++)
                {
                    output[c, y / 2, x / 2] = Math.Max(output[c, y / 2, x / 2], input[c, y, x]);
                }
            }
        }

        return output;
    }

    public static Activation GlobalAverage(Activation input)
    {
        var output = new Activation(input.Channels, 1, 1);
        for (var i = 0; i < input.Data.Length; i++)
        {
            output.Data[i / input.Positions] += input.Data[i] / input.Positions;
        }

        return output;
    }

    public static Activation Add(IReadOnlyList<Activation> inputs)
    {
        var output = inputs[0].Map(v => v);
        foreach (var input in inputs.Skip(1))
        {
            for (var i = 0; i < output.Data.Length; i++)
            {
                output.Data[i] += input.Data[i];
            }
        }

        return output;
    }

    public static Activation Concat(IReadOnlyList<Activation> inputs) => new(
        inputs.Sum(i => i.Channels), inputs[0].Height, inputs[0].Width, [.. inputs.SelectMany(i => i.Data)]);

    public static Activation Select(Activation input, int[] channels) => new(
        channels.Length,
        input.Height,
        input.Width,
        [.. channels.SelectMany(c => input.Data.Skip(c * input.Positions).Take(input.Positions))]);
}
