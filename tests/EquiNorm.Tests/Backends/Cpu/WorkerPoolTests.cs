using EquiNorm.Backends.Cpu;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed class WorkerPoolTests
{
    [Test]
    public void Every_item_runs_once([Values(1, 2, 3, 8)] int threads)
    {
        using var pool = new WorkerPool(threads);
        Assert.That(pool.Threads, Is.EqualTo(threads));
        for (int run = 0; run < 3000; run++)
        {
            int items = run % 40;
            var job = new CountJob(new int[items], threads);
            pool.Run(job, items);
            Assert.That(job.Counts, Is.All.EqualTo(1));
            if (run % 500 == 0)
            {
                // Long enough for the workers to fall asleep.
                Thread.Sleep(2);
            }
        }
    }

    [Test]
    public void A_run_allocates_nothing()
    {
        using var pool = new WorkerPool(2);
        var job = new CountJob(new int[64], 2);
        long Allocated(int runs)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int run = 0; run < runs; run++)
            {
                pool.Run(job, 64);
            }

            return GC.GetAllocatedBytesForCurrentThread() - before;
        }

        // What is done for the first time (to wait, say) may make garbage, once.
        Allocated(1000);
        Assert.That(Enumerable.Range(0, 3).Min(_ => Allocated(1000)), Is.Zero);
    }

    [Test]
    public void An_exception_of_an_item_reaches_the_caller_and_the_pool_stays_usable([Values(1, 2, 4)] int threads)
    {
        using var pool = new WorkerPool(threads);
        for (int run = 0; run < 200; run++)
        {
            var thrown = Assert.Throws<InvalidDataException>(() => pool.Run(new ThrowJob(run % 10), 10));
            Assert.That(thrown!.Message, Is.EqualTo($"item {run % 10}"));
            var job = new CountJob(new int[10], threads);
            pool.Run(job, 10);
            Assert.That(job.Counts, Is.All.EqualTo(1));
        }
    }

    [Test]
    public void A_second_caller_is_turned_away([Values(1, 2)] int threads)
    {
        using var pool = new WorkerPool(threads);
        var job = new NestedJob(pool, new int[8]);
        pool.Run(job, 8);
        Assert.That(job.Refused, Is.All.EqualTo(1));
        pool.Run(job, 8);
        Assert.That(job.Refused, Is.All.EqualTo(2));
    }

    [Test]
    public void A_disposed_pool_refuses_to_run()
    {
        var pool = new WorkerPool(2);
        pool.Dispose();
        pool.Dispose();
        Assert.Throws<ObjectDisposedException>(() => pool.Run(new ThrowJob(0), 1));
    }

    [Test]
    public void A_job_may_hold_references_that_move()
    {
        using var pool = new WorkerPool(3);
        for (int run = 0; run < 20; run++)
        {
            var job = new CollectJob(new int[30], new object());
            pool.Run(job, 30);
            Assert.That(job.Counts, Is.All.EqualTo(1));
        }
    }

    private readonly record struct CountJob(int[] Counts, int Threads) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            Interlocked.Increment(ref Counts[item]);
            if ((uint)worker >= (uint)Threads)
            {
                throw new InvalidOperationException("worker index out of range");
            }
        }
    }

    private readonly record struct ThrowJob(int Bad) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            if (item == Bad)
            {
                throw new InvalidDataException($"item {item}");
            }
        }
    }

    private readonly record struct NestedJob(WorkerPool Pool, int[] Refused) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            try
            {
                Pool.Run(new ThrowJob(0), 1);
            }
            catch (InvalidOperationException)
            {
                Refused[item]++;
            }
        }
    }

    private readonly record struct CollectJob(int[] Counts, object Reference) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            if (item % 7 == 0)
            {
                GC.Collect();
            }

            GC.KeepAlive(Reference.ToString());
            Counts[item]++;
        }
    }
}
