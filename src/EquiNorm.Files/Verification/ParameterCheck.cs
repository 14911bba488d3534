namespace EquiNorm.Files.Verification;

/// <summary>Compares every element of a tensor pair with what the factors predict. See <see cref="VerificationReport"/> for the measure.</summary>
internal sealed class ParameterCheck
{
    // Elements this much smaller than the largest of their output channel are measured against that, not against themselves.
    private const double Floor = 1.0 / (1 << 20);

    private readonly Parameter _p;
    private readonly double[] _output;
    private readonly double[] _input;
    private readonly double[] _floor;
    private double _worst;
    private long _element;
    private (double Expected, double Found) _values;

    private ParameterCheck(Parameter parameter, double[] factors)
    {
        _p = parameter;
        _output = [.. parameter.Outputs.Select((c, o) => factors[c] * parameter.A.Scale(o))];
        _input = [.. parameter.Inputs.Select(c => 1 / factors[c])];
        _floor = new double[_output.Length];
        for (int o = 0; o < _floor.Length; o++)
        {
            _floor[o] = parameter.B.SmallestNormal * Math.Max(1, Math.Abs(parameter.B.Scale(o)));
            if (parameter.A.Magnitude is { } a && parameter.B.Magnitude is { } b)
            {
                _floor[o] = Math.Max(_floor[o], Math.Max(a[o] * factors[parameter.Outputs[o]], b[o]));
            }
        }
    }

    /// <summary>Checks one pair.</summary>
    public static TensorDeviation Run(Parameter parameter, double[] factors)
    {
        var check = new ParameterCheck(parameter, factors);
        if (parameter.Layout.Elements > 0)
        {
            check.Walk(check.Raise);
            check.Walk(check.Compare);
        }

        return new TensorDeviation(parameter.Name, parameter.B.Type, check._worst, check._element, check._values.Expected, check._values.Found);
    }

    // Stored tensors are contiguous: [O, I, K] or [O, K, I], [I, O, K] for a transposed convolution, [I, K, O] for a MatMul. A row is one index of
    // the outer channels.
    private void Walk(Action<long, int, double[], double[]> visit)
    {
        var layout = _p.Layout;
        int length = checked((layout.IsOutputMajor ? layout.InputsPerGroup : layout.OutputsPerGroup) * layout.Kernel);
        long rows = layout.Elements / length;
        var a = new double[length];
        var b = new double[length];
        for (long r = 0; r < rows; r++)
        {
            _p.A.Read(r * length, a);
            _p.B.Read(r * length, b);
            visit(r * length, layout.IsOutputMajor ? (int)r : -(int)r - 1, a, b);
        }
    }

    // place >= 0: the row is that output's; place < 0: the row is input -place - 1's.
    private void Raise(long first, int place, double[] a, double[] b)
    {
        for (int n = 0; n < a.Length; n++)
        {
            var (o, factor) = Factor(place, n);
            double size = Math.Abs(a[n] * factor) * Floor;
            _floor[o] = size > _floor[o] && double.IsFinite(size) ? size : _floor[o];
        }
    }

    private void Compare(long first, int place, double[] a, double[] b)
    {
        for (int n = 0; n < a.Length; n++)
        {
            var (o, factor) = Factor(place, n);
            double expected = a[n] * factor, found = b[n] * _p.B.Scale(o);
            double deviation = Math.Abs(found - expected) / Math.Max(Math.Abs(expected), _floor[o]);
            if (deviation > _worst || double.IsNaN(deviation))
            {
                _worst = double.IsNaN(deviation) ? double.PositiveInfinity : deviation;
                _element = first + n;
                _values = (expected, found);
            }
        }
    }

    private (int Output, double Factor) Factor(int place, int n)
    {
        var layout = _p.Layout;
        if (place >= 0)
        {
            int at = layout.InputStride == 1 ? n % layout.InputsPerGroup : n / layout.Kernel;
            return (place, _output[place] * _input[_p.FirstInput(place) + at]);
        }

        int input = -place - 1;
        int output = _p.FirstOutput(input) + (layout.OutputStride == 1 ? n % layout.OutputsPerGroup : n / layout.Kernel);
        return (output, _output[output] * _input[input]);
    }
}
