using System.Numerics;
using EquiNorm.Problem;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Problem;

/// <summary>Logarithm and exponential of vectors, against the runtime's scalar ones.</summary>
public sealed class VectorMathTests
{
    [Test]
    public void Logarithm_is_within_two_units_in_the_last_place()
    {
        var random = new Random(TestSeeds.Of("log", 0));
        foreach (var x in Numbers(random).Where(x => x >= VectorMath.SmallestNormal))
        {
            AssertClose(Math.Log(x), VectorMath.Log(new Vector<double>(x))[0], x);
        }

        IEnumerable<double> Numbers(Random random)
        {
            yield return 1;
            yield return VectorMath.SmallestNormal;
            yield return double.MaxValue;
            yield return Math.Sqrt(0.5);
            yield return Math.BitDecrement(Math.Sqrt(0.5));
            yield return Math.Sqrt(2);
            yield return Math.BitIncrement(Math.Sqrt(2));
            for (var n = 0; n < 100_000; n++)
            {
                yield return Math.Exp(random.Pick(1e-12, 1e-3, 0.5, 30, 700) * (2 * random.NextDouble() - 1));
            }
        }
    }

    [Test]
    public void Exponential_is_within_two_units_in_the_last_place()
    {
        var random = new Random(TestSeeds.Of("exp", 0));
        foreach (var x in (double[])[0, VectorMath.LargestExponent, -VectorMath.LargestExponent, Math.Log(2) / 2, -Math.Log(2) / 2])
        {
            AssertClose(Math.Exp(x), VectorMath.Exp(new Vector<double>(x))[0], x);
        }

        for (var n = 0; n < 100_000; n++)
        {
            var x = random.Pick(1e-12, 1e-3, 1, 30, VectorMath.LargestExponent) * (2 * random.NextDouble() - 1);
            AssertClose(Math.Exp(x), VectorMath.Exp(new Vector<double>(x))[0], x);
        }
    }

    [Test]
    public void Lanes_do_not_depend_on_each_other()
    {
        var random = new Random(TestSeeds.Of("lanes", 0));
        for (var n = 0; n < 1000; n++)
        {
            var numbers = Enumerable.Range(0, Vector<double>.Count).Select(_ => 100 * random.NextDouble() + 1e-3).ToArray();
            var (logs, powers) = (VectorMath.Log(new Vector<double>(numbers)), VectorMath.Exp(new Vector<double>(numbers)));
            for (var lane = 0; lane < numbers.Length; lane++)
            {
                Assert.That(logs[lane], Is.EqualTo(VectorMath.Log(new Vector<double>(numbers[lane]))[0]));
                Assert.That(powers[lane], Is.EqualTo(VectorMath.Exp(new Vector<double>(numbers[lane]))[0]));
            }
        }
    }

    private static void AssertClose(double expected, double actual, double x)
    {
        var unit = Math.BitIncrement(Math.Abs(expected)) - Math.Abs(expected);
        if (!(Math.Abs(actual - expected) <= 2 * unit))
        {
            Assert.Fail($"{actual:R} instead of {expected:R} at {x:R}, {TestSeeds.Repeat}");
        }
    }
}
