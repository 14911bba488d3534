// A network of two layers with a bias between them, and a session on it.
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Tests;

internal sealed unsafe class SmallNetwork : IDisposable
{
    public const int Inputs = 3;
    public const int Hidden = 5;
    public const int Outputs = 2;

    public const string Json = """
        {
          "format": "equinorm-network", "version": 1,
          "axes": [
            { "name": "x", "channels": 3, "pinned": "network input" },
            { "name": "hidden", "channels": 5 },
            { "name": "y", "channels": 2, "pinned": "network output" }
          ],
          "weights": [
            { "name": "première", "type": "float32", "shape": [5, 3], "output": "hidden", "input": "x" },
            { "name": "bias", "type": "float32", "kind": "bias", "shape": [5], "output": "hidden" },
            { "name": "second", "type": "float64", "shape": [2, 5], "output": "y", "input": "hidden" }
          ]
        }
        """;

    public const string FirstName = "première";

    public SmallNetwork(Func<OptionsStruct, OptionsStruct>? options = null, bool bind = true)
    {
        Assert.That(C.NetworkFromJson(Json, out var network), Is.EqualTo(Status.Ok), () => C.LastError);
        Network = network;
        Assert.That(
            C.SessionCreate(network, options?.Invoke(C.Options()) ?? C.Options(), out var session), Is.EqualTo(Status.Ok), () => C.LastError);
        Session = session;
        var random = new Random(7);
        First = new Buffer<float>(TypeNumbers.Float32, Fill(Hidden * Inputs, () => 10 * random.NextSingle() - 5), [Hidden, Inputs]);
        Bias = new Buffer<float>(TypeNumbers.Float32, Fill(Hidden, () => random.NextSingle()), [Hidden]);
        Second = new Buffer<double>(TypeNumbers.Float64, Fill(Outputs * Hidden, () => random.NextDouble() - 0.5), [Outputs, Hidden]);
        if (bind)
        {
            Assert.That(First.Bind(Session, FirstName), Is.EqualTo(Status.Ok), () => C.LastError);
            Assert.That(Bias.Bind(Session, "bias"), Is.EqualTo(Status.Ok), () => C.LastError);
            Assert.That(Second.Bind(Session, "second"), Is.EqualTo(Status.Ok), () => C.LastError);
        }
    }

    public nint Network { get; }

    public nint Session { get; }

    public Buffer<float> First { get; }

    public Buffer<float> Bias { get; }

    public Buffer<double> Second { get; }

    public double Objective => First.Elements.Sum(w => (double)w * w) + Second.Elements.Sum(w => w * w);

    public double[] HiddenFactors
    {
        get
        {
            var factors = new double[Hidden];
            Assert.That(C.LogFactors(Session, FirstName, 0, factors), Is.EqualTo(Status.Ok), () => C.LastError);
            return factors;
        }
    }

    public void Dispose()
    {
        C.NetworkFree(Network);
        C.SessionFree(Session);
    }

    private static TElement[] Fill<TElement>(int count, Func<TElement> next) => [.. Enumerable.Range(0, count).Select(_ => next())];
}
