using BenchmarkDotNet.Running;
using EquiNorm.Bench;
using EquiNorm.Bench.Results;

// "table": the figures of the README, all networks in one process, in a minute. Anything else goes to BenchmarkDotNet.
if (args is ["table", ..])
{
    return FloorTable.Run(args[1..]);
}

// "scaling": tables and plots against width, depth, size, kernel and groups.
if (args is ["scaling", ..])
{
    return EquiNorm.Bench.Scaling.ScalingStudy.Run(args[1..]);
}

// The GPU's benchmarks are not offered where they cannot run: BenchmarkDotNet would list failures.
List<Type> benchmarks =
[
    typeof(OnnxBenchmark), typeof(RowNormBenchmark), typeof(ScaleRowsBenchmark), typeof(SizeBenchmark), typeof(SolveBenchmark), typeof(StepBenchmark),
];
if (GpuBenchmark.Device is not null)
{
    benchmarks.Add(typeof(GpuBenchmark));
}
else
{
    Console.WriteLine($"{nameof(GpuBenchmark)} is left out: {GpuBenchmark.WhyNone}");
}

#if ILGPU_ALGORITHMS
benchmarks.Add(typeof(EquiNorm.Bench.Ilgpu.IlgpuRowNormBenchmark));
#else
Console.WriteLine("IlgpuRowNormBenchmark is left out: this was built where the package sources do not have ILGPU.Algorithms.");
#endif

// "results DIR": tables of all classes, or of those of a filter, with machine and commit.
if (args is ["results", ..])
{
    if (args is ["results", var folder, .. var options] && !folder.StartsWith('-'))
    {
        return ResultsRun.Run(benchmarks, folder, options);
    }

    Console.Error.WriteLine("The folder to write to is missing: results DIR [options].");
    return 2;
}

BenchmarkSwitcher.FromTypes([.. benchmarks]).Run(args);
return 0;
