// Entry point of the packed folder: the first argument says which of the two commands it is.
using EquiNorm.Gpu.Bench;
using EquiNorm.Gpu.Bench.Check;
using EquiNorm.Gpu.Bench.Measure;

try
{
    return args switch
    {
        ["gpucheck", .. var rest] => CheckCommand.Run(rest, Console.Out),
        ["gpubench", .. var rest] => BenchCommand.Run(rest, Console.Out),
        _ => throw new UsageException($"Say 'gpucheck' or 'gpubench'.\n\n{CheckCommand.Usage}\n\n{BenchCommand.Usage}"),
    };
}
catch (UsageException e)
{
    Console.Error.WriteLine(e.Message);
    return Exit.Usage;
}
