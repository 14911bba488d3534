using System.Globalization;

namespace EquiNorm.Testing;

/// <summary>Fresh seeds for each run of the tests; the environment variable EQUINORM_SEED repeats a run.</summary>
public static class TestSeeds
{
    /// <summary>The seed of this run.</summary>
    public static int Run { get; } = int.TryParse(
        Environment.GetEnvironmentVariable("EQUINORM_SEED"), NumberStyles.Integer, CultureInfo.InvariantCulture, out var seed)
        ? seed
        : Random.Shared.Next(1_000_000);

    /// <summary>A seed that depends on the run, a name and a number, the same in every process.</summary>
    public static int Of(string name, int number)
    {
        var hash = 17u + (uint)Run;
        foreach (var c in $"{name}/{number}")
        {
            hash = (hash ^ c) * 16777619u;
        }

        return (int)(hash >> 1);
    }

    /// <summary>How to repeat, for messages.</summary>
    public static string Repeat => $"repeat with EQUINORM_SEED={Run.ToString(CultureInfo.InvariantCulture)}";
}
