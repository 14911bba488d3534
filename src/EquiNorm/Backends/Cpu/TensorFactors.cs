using System.Runtime.CompilerServices;
using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// The factors of a weight's axes to one power, for every tensor that is multiplied by that power: a part of all channels' powers where
/// the channels are consecutive, gathered otherwise.
/// </summary>
internal sealed unsafe class TensorFactors
{
    private readonly Weight _weight;
    private readonly int _power;
    private readonly ChannelPowers _powers;
    private readonly int _firstOutput;
    private readonly int _firstInput;
    private readonly int[] _outputChannels;
    private readonly int[] _inputChannels;
    private readonly double[] _outputScale;
    private double[]? _outputs;
    private double[]? _inputs;

    /// <param name="network">The network of the weight.</param>
    /// <param name="weight">The weight.</param>
    /// <param name="power">1 for the weight, others for what moves with it.</param>
    /// <param name="powers">The powers of all channels.</param>
    public TensorFactors(Network network, Weight weight, int power, ChannelPowers powers)
    {
        _weight = weight;
        _power = power;
        _powers = powers;
        _outputScale = new double[weight.OutputScale.Length];
        for (var o = 0; o < _outputScale.Length; o++)
        {
            var scale = weight.OutputScale.Span[o];
            _outputScale[o] = power == 1 ? scale : Math.Pow(Math.Abs(scale), power);
        }

        _outputChannels = weight.Outputs.ToChannels(network.Groups);
        _inputChannels = weight.Inputs.ToChannels(network.Groups);
        _firstOutput = weight.Layout.IsDiagonal || _outputScale.Length > 0 ? -1 : FirstOfConsecutive(_outputChannels);
        _firstInput = weight.Layout.IsDiagonal ? -1 : FirstOfConsecutive(_inputChannels);
    }

    /// <summary>One factor per output; of a diagonal weight the product of both.</summary>
    public double* Outputs { get; private set; }

    /// <summary>One factor per input; null for a diagonal weight.</summary>
    public double* Inputs { get; private set; }

    /// <summary>Takes in the powers as they are now.</summary>
    /// <param name="extreme">Factors that are beyond the powers' range, or null.</param>
    public void Set(Scalings? extreme)
    {
        var outputs = _powers.Of(_power);
        var inputs = _powers.Of(-_power);
        if (extreme is not null)
        {
            var (far, near) = extreme.FactorsOf(_weight, _power);
            far.CopyTo(Room(ref _outputs, far.Length), 0);
            near.CopyTo(Room(ref _inputs, near.Length), 0);
        }
        else
        {
            Gather(outputs, _firstOutput, _outputChannels, ref _outputs);
            Gather(inputs, _firstInput, _inputChannels, ref _inputs);
            for (var o = 0; o < _outputScale.Length; o++)
            {
                _outputs![o] *= _outputScale[o];
            }
        }

        if (_weight.Layout.IsDiagonal)
        {
            Multiply(_outputs!, _inputs!, _outputChannels.Length);
        }

        Outputs = extreme is null && _firstOutput >= 0 ? outputs + _firstOutput : Address(_outputs!);
        Inputs = _weight.Layout.IsDiagonal ? null : extreme is null && _firstInput >= 0 ? inputs + _firstInput : Address(_inputs!);
    }

    /// <summary>The factors of an axis in memory orientation.</summary>
    public double* Of(Axis axis) => axis == Axis.Output ? Outputs : Inputs;

    private static int FirstOfConsecutive(int[] channels)
    {
        for (var n = 1; n < channels.Length; n++)
        {
            if (channels[n] != channels[0] + n)
            {
                return -1;
            }
        }

        return channels.Length > 0 ? channels[0] : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Gather(double* powers, int first, int[] channels, ref double[]? factors)
    {
        if (first >= 0)
        {
            return;
        }

        var room = Room(ref factors, channels.Length);
        for (var n = 0; n < channels.Length; n++)
        {
            room[n] = powers[channels[n]];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Multiply(double[] outputs, double[] inputs, int count)
    {
        for (var n = 0; n < count; n++)
        {
            outputs[n] *= inputs[n];
        }
    }

    // One more than needed, so that an empty axis has an address too.
    private static double[] Room(ref double[]? factors, int count) =>
        factors ??= GC.AllocateArray<double>(count + 1, pinned: true);

    private static double* Address(double[] pinned) => (double*)Unsafe.AsPointer(ref pinned[0]);
}
