using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using Perfolizer.Horology;

namespace EquiNorm.Bench.Results;

/// <summary>
/// "results DIR [--dry] [BenchmarkDotNet's options]": runs the benchmarks and writes DIR/Class.md for each class. Each benchmark has a process
/// of its own, warm-up and fifteen measured iterations of a fifth of a second (longer where one call takes longer), so that all classes together
/// take about half an hour on two cores (17 minutes without SizeBenchmark). Without a filter, all classes are run. --dry calls everything once, to see that it runs.
/// </summary>
internal static class ResultsRun
{
    private const int WarmUps = 4;
    private const int Iterations = 15;
    private const double IterationMilliseconds = 200;

    // The generated project is built from nothing, without the compiler server, along with everything that it refers to.
    private static readonly TimeSpan BuildTimeout = TimeSpan.FromMinutes(10);

    /// <returns>0, or 1 if some benchmark failed: what succeeded is written all the same.</returns>
    public static int Run(IReadOnlyCollection<Type> benchmarks, string folder, string[] options)
    {
        var job = options.Contains("--dry") ? Job.Dry : Job.Default
            .WithWarmupCount(WarmUps)
            .WithIterationCount(Iterations)
            .WithIterationTime(TimeInterval.FromMilliseconds(IterationMilliseconds))
            .WithMinInvokeCount(1);
        var config = ManualConfig.CreateEmpty()
            .AddLogger(ConsoleLogger.Default)
            .AddColumnProvider(DefaultColumnProviders.Instance)
            .AddColumn(StatisticColumn.Median)
            .AddAnalyser([.. DefaultConfig.Instance.GetAnalysers()])
            .AddValidator([.. DefaultConfig.Instance.GetValidators()])
            .AddExporter(new ResultExporter(folder))
            .WithBuildTimeout(BuildTimeout)
            .AddJob(job.WithArguments([new MsBuildArgument("/p:RunAnalyzers=false")]).AsDefault());
        options = [.. options.Where(o => o != "--dry")];
        if (!options.Any(o => o is "--filter" or "-f"))
        {
            options = [.. options, "--filter", "*"];
        }

        var summaries = BenchmarkSwitcher.FromTypes([.. benchmarks]).Run(options, config).ToArray();
        var failed = summaries.SelectMany(Failures).ToArray();
        foreach (var failure in failed)
        {
            Console.Error.WriteLine($"Failed: {failure}");
        }

        return summaries.Length == 0 || failed.Length > 0 ? 1 : 0;
    }

    private static IEnumerable<string> Failures(Summary summary) =>
        summary.BenchmarksCases.Where(c => summary[c]?.Success != true).Select(c => c.DisplayInfo)
            .Concat(summary.ValidationErrors.Where(e => e.IsCritical).Select(e => e.Message));
}
