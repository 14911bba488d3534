// Persistent threads that run the items 0 .. n-1 of a job: threads - 1 workers and the caller, each claiming the next item
// from a shared counter. A run allocates nothing. Workers spin some ten microseconds between runs, because a solve issues
// thousands of runs that are microseconds apart, and then block.
//
// The counter is one 64-bit word, (run number << 32) | next item, claimed by compare-and-swap. A worker that read the word
// before a run ended cannot claim an item of the next run with the old job: the run number differs and the swap fails.
// Between runs the item part is Closed, so the job's fields can be written while workers look on.

using System.Runtime.CompilerServices;
using System.Runtime.ExceptionServices;

namespace EquiNorm.Backends.Cpu;

/// <summary>A job of independent items. The struct is shared by all threads: Execute may write only through its pointers.</summary>
internal interface IWorkerJob
{
    /// <param name="item">In [0, itemCount).</param>
    /// <param name="worker">Index of the thread, in [0, Threads); 0 is the caller.</param>
    void Execute(int item, int worker);
}

internal sealed unsafe class WorkerPool : IDisposable
{
    private const uint Closed = int.MaxValue;

    // Spinning costs the core to others, blocking costs a wake-up. The caller never waits for a wake-up, only for items that
    // were claimed: an empty two-item run takes 0.3 microseconds whether the worker spins or sleeps (2 cores, both loaded).
    private static readonly long SpinTicks = System.Diagnostics.Stopwatch.Frequency * 150 / 1_000_000;

    private readonly Thread[] _workers;
    private readonly object _gate = new();
    private Shared _shared;
    private int _sleepers;
    private int _busy;
    private volatile bool _stopping;
    private ExceptionDispatchInfo? _failure;

    // The published job: valid while the word's item part is not Closed.
    private void* _job;
    private delegate*<void*, int, int, void> _execute;
    private int _itemCount;

    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        _shared.Word = Closed;
        _workers = new Thread[threads - 1];
        for (int w = 0; w < _workers.Length; w++)
        {
            int worker = w + 1;
            _workers[w] = new Thread(() => Loop(worker)) { IsBackground = true, Name = $"EquiNorm worker {worker}" };
            _workers[w].Start();
        }
    }

    /// <summary>Number of threads that execute items, the caller included.</summary>
    public int Threads => _workers.Length + 1;

    /// <summary>
    /// Executes all items and returns when the last one is done. The first exception of an item is thrown here; items not
    /// begun by then are skipped.
    /// </summary>
    /// <exception cref="InvalidOperationException">Another run is in progress.</exception>
    /// <exception cref="ObjectDisposedException">The pool is disposed.</exception>
    public void Run<TJob>(in TJob job, int itemCount)
        where TJob : struct, IWorkerJob
    {
        ArgumentOutOfRangeException.ThrowIfNegative(itemCount);
        ArgumentOutOfRangeException.ThrowIfEqual(itemCount, int.MaxValue);
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new InvalidOperationException("The worker pool is already running a job; it serves one caller at a time.");
        }

        try
        {
            ObjectDisposedException.ThrowIf(_stopping, this);

            // On this thread's stack the job cannot move, and references in it are kept alive and updated by the collector.
            TJob local = job;
            if (itemCount <= 1 || _workers.Length == 0)
            {
                for (int item = 0; item < itemCount; item++)
                {
                    local.Execute(item, 0);
                }

                return;
            }

            RunShared(Unsafe.AsPointer(ref local), &ExecuteItem<TJob>, itemCount);
        }
        finally
        {
            Volatile.Write(ref _busy, 0);
        }
    }

    /// <summary>Stops and joins the workers. A run in progress on another thread makes this throw.</summary>
    public void Dispose()
    {
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new InvalidOperationException("The worker pool is running a job.");
        }

        lock (_gate)
        {
            _stopping = true;
            Monitor.PulseAll(_gate);
        }

        foreach (Thread worker in _workers)
        {
            worker.Join();
        }

        Volatile.Write(ref _busy, 0);
    }

    private static void ExecuteItem<TJob>(void* job, int item, int worker)
        where TJob : struct, IWorkerJob =>
        Unsafe.AsRef<TJob>(job).Execute(item, worker);

    private void RunShared(void* job, delegate*<void*, int, int, void> execute, int itemCount)
    {
        _job = job;
        _execute = execute;
        _itemCount = itemCount;
        _failure = null;
        _shared.Completed = 0;
        ulong run = (ulong)(uint)((int)(_shared.Word >> 32) + 1) << 32;

        // A full fence: the fields above are visible before the run opens, and the run is open before _sleepers is read.
        Interlocked.Exchange(ref _shared.Word, run);
        if (Volatile.Read(ref _sleepers) != 0)
        {
            lock (_gate)
            {
                Monitor.PulseAll(_gate);
            }
        }

        Claim(0);

        // Workers still hold items. Sleeping (threshold -1: never) would add a millisecond.
        SpinWait spinner = default;
        while (Volatile.Read(ref _shared.Completed) != itemCount)
        {
            spinner.SpinOnce(sleep1Threshold: -1);
        }

        Interlocked.Exchange(ref _shared.Word, run | Closed);
        _failure?.Throw();
    }

    // Executes items of the open run until none is left.
    private void Claim(int worker)
    {
        while (true)
        {
            ulong word = Volatile.Read(ref _shared.Word);
            uint item = (uint)word;
            int count = Volatile.Read(ref _itemCount);
            if (item == Closed || item >= (uint)count)
            {
                return;
            }

            void* job = _job;
            delegate*<void*, int, int, void> execute = _execute;
            if (Interlocked.CompareExchange(ref _shared.Word, word + 1, word) != word)
            {
                continue;
            }

            try
            {
                if (Volatile.Read(ref _failure) is null)
                {
                    execute(job, (int)item, worker);
                }
            }
            catch (Exception exception)
            {
                Interlocked.CompareExchange(ref _failure, ExceptionDispatchInfo.Capture(exception), null);
            }
            finally
            {
                Interlocked.Increment(ref _shared.Completed);
            }
        }
    }

    private void Loop(int worker)
    {
        uint seen = 0;
        while (!_stopping)
        {
            uint run = (uint)(Volatile.Read(ref _shared.Word) >> 32);
            if (run != seen)
            {
                seen = run;
                Claim(worker);
            }
            else if (!SpinUntilNewRun(seen))
            {
                BlockUntilNewRun(seen);
            }
        }
    }

    private bool SpinUntilNewRun(uint seen)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        do
        {
            for (int i = 0; i < 8; i++)
            {
                if ((uint)(Volatile.Read(ref _shared.Word) >> 32) != seen || _stopping)
                {
                    return true;
                }

                Thread.SpinWait(4);
            }

            // Fewer cores than threads: let the thread run that this one is waiting for.
            Thread.Yield();
        }
        while (System.Diagnostics.Stopwatch.GetTimestamp() - start < SpinTicks);

        return false;
    }

    private void BlockUntilNewRun(uint seen)
    {
        lock (_gate)
        {
            Interlocked.Increment(ref _sleepers);
            while (!_stopping && (uint)(Volatile.Read(ref _shared.Word) >> 32) == seen)
            {
                Monitor.Wait(_gate);
            }

            Interlocked.Decrement(ref _sleepers);
        }
    }

    // The two contended words, on cache lines of their own.
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 384)]
    private struct Shared
    {
        [System.Runtime.InteropServices.FieldOffset(128)]
        public ulong Word;

        [System.Runtime.InteropServices.FieldOffset(256)]
        public int Completed;
    }
}
