using BenchmarkDotNet.Running;
using EquiNorm.Bench;

// "table": the figures of the README, all networks in one process, in a minute. Anything else goes to BenchmarkDotNet.
if (args is ["table", ..])
{
    return FloorTable.Run(args[1..]);
}

BenchmarkSwitcher.FromAssembly(typeof(StepBenchmark).Assembly).Run(args);
return 0;
