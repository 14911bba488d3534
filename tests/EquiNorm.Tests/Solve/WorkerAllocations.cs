using EquiNorm.Backends.Cpu;

namespace EquiNorm.Tests.Solve;

/// <summary>What the worker threads of a backend have allocated.</summary>
internal static class WorkerAllocations
{
    /// <summary>Bytes so far on every worker thread, 0 for the caller: as many items as threads, each of which waits for the others.</summary>
    public static long[] Read(CpuBackend backend)
    {
        var job = new Meter(new long[backend.Threads], new int[1]);
        backend.Pool.Run(job, backend.Threads);
        return job.Bytes;
    }

    private readonly struct Meter(long[] bytes, int[] arrived) : IWorkerJob
    {
        public long[] Bytes => bytes;

        public void Execute(int item, int worker)
        {
            Interlocked.Increment(ref arrived[0]);
            var spinner = default(SpinWait);
            while (Volatile.Read(ref arrived[0]) < bytes.Length)
            {
                spinner.SpinOnce(sleep1Threshold: -1);
            }

            // The caller's own bytes hold what this measurement allocates.
            bytes[worker] = worker == 0 ? 0 : GC.GetAllocatedBytesForCurrentThread();
        }
    }
}
