using System.Globalization;
using EquiNorm.Testing;

namespace EquiNorm.Fuzz.Tests;

/// <summary>A fixed number of cases in each run of the tests: those of a fixed seed, those of a fresh one, and every case that was a finding once.</summary>
[TestFixture]
internal sealed class FuzzTests
{
    private const int Cases = 1500;

    private static IEnumerable<string> Corpus => Directory.GetDirectories(Path.Combine(AppContext.BaseDirectory, "Corpus")).Select(d => Path.GetFileName(d)!).Order(StringComparer.Ordinal);

    [Test]
    public void Cases_of_a_fixed_seed_are_read_or_refused() => Run(20261122);

    [Test]
    public void Cases_of_a_fresh_seed_are_read_or_refused() => Run(TestSeeds.Of("fuzz", 0));

    [Test]
    public void Seeds_are_rescaled_and_verified()
    {
        using var directory = new TemporaryDirectory();
        using var runner = new FuzzRunner(directory["case"]);
        foreach (var seed in Enum.GetValues<FuzzTarget>().SelectMany(Seeds.Of))
        {
            Assert.That(runner.Run(seed, out var outcome)?.Problem, Is.Null);
            Assert.That(outcome, Is.EqualTo(FuzzOutcome.Rescaled), $"{seed.Target} {seed.Files[0].Content.Length}");
        }
    }

    [TestCaseSource(nameof(Corpus))]
    public void Cases_that_were_findings_stay_harmless(string name)
    {
        using var directory = new TemporaryDirectory();
        using var runner = new FuzzRunner(directory["case"]);
        Assert.That(runner.Run(FuzzCase.Load(Path.Combine(AppContext.BaseDirectory, "Corpus", name)), out _)?.Problem, Is.Null);
    }

    private static void Run(int seed)
    {
        using var directory = new TemporaryDirectory();
        using var runner = new FuzzRunner(directory["case"]);
        var counts = new int[3];
        for (int n = 0; n < Cases; n++)
        {
            var problem = runner.Run(Fuzzer.Case(seed, n), out var outcome)?.Problem;
            string repeat = string.Create(CultureInfo.InvariantCulture, $"repeat: dotnet run -c Release --project tests/EquiNorm.Fuzz -- --seed {seed} --first {n} --cases 1");
            Assert.That(problem, Is.Null, repeat);
            counts[(int)outcome]++;
        }

        TestContext.Out.WriteLine($"seed {seed}: {counts[0]} refused, {counts[1]} read, {counts[2]} rescaled; largest allocation {runner.Largest.Bytes}, longest {runner.Largest.Time.TotalMilliseconds:F0} ms");
        Assert.That(counts[(int)FuzzOutcome.Refused], Is.GreaterThan(Cases / 20), "the mutations change something");
        Assert.That(counts[(int)FuzzOutcome.Rescaled], Is.GreaterThan(Cases / 20), "the mutations leave something");
    }
}
