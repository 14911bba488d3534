using EquiNorm.Backends.Cpu;
using EquiNorm.Bench;
using EquiNorm.Problem;
using EquiNorm.Solve;
using NUnit.Framework;

namespace EquiNorm.Tests.Solve;

/// <summary>
/// Bytes of garbage that a solve makes: plan, factors, history, in proportion to channels and layers and not to weights. Exact for code that the
/// runtime has not compiled anew yet; once it has, short-lived objects need no memory any more, and it is about a hundredth less.
/// </summary>
public class SolveAllocationTests
{
    // The runtime fills its own tables in the first solves.
    private const int WarmUps = 3;
    private const int Noise = 1024;

    [TestCase("15x500", 676_696)]
    [TestCase("conv-net", 140_200)]
    [TestCase("resnet18", 381_872)]
    [TestCase("mobilenet_v2", 1_319_344)]
    [TestCase("100x64", 697_464)]
    public void A_solve_allocates_as_much_as_it_did_and_nothing_on_the_workers(string name, long bytes)
    {
        var network = StandardNetworks.Create(name);
        using var tensors = network.Bind();
        using var backend = new CpuBackend(2);
        var problem = new RescalingProblem(network.Network);
        for (var n = 0; n < WarmUps; n++)
        {
            RescalingSolver.Solve(problem, tensors, backend: backend);
        }

        // The least of three: what the runtime does for the first time in one of them is not the solve's.
        var (least, leastOnWorkers) = (long.MaxValue, long.MaxValue);
        for (var n = 0; n < 3; n++)
        {
            var workers = WorkerAllocations.Read(backend);
            var own = GC.GetAllocatedBytesForCurrentThread();
            RescalingSolver.Solve(problem, tensors, backend: backend);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - own);
            leastOnWorkers = Math.Min(leastOnWorkers, WorkerAllocations.Read(backend).Zip(workers, (now, before) => now - before).Sum());
        }

        Assert.That(least, Is.InRange(bytes - bytes / 20, bytes + Noise));
        Assert.That(leastOnWorkers, Is.Zero, "on the workers");
    }
}
