// Persistent threads that run the items 0 .. n-1 of a job: threads - 1 workers and the caller. Of T threads, thread w has the
// items w, w + T, w + 2 T, ... and helps the others when it has done them: in the sweeps, whose runs are over one weight each,
// a tile goes to the same thread again and again, and is found in the cache of its core. A run of fewer items than threads
// concerns that many threads only. A run allocates nothing. Workers spin some ten microseconds
// between runs, because a solve issues thousands of runs that are microseconds apart, and then block.
//
// Each thread's items have a counter, a 64-bit word (run number << 32) | items claimed, changed by compare-and-swap. Who read
// a word before a run ended cannot claim an item of the next run with the old job: the run number differs and the swap fails.
// Between runs the lower part of all words is Closed, so the job's fields can be written while workers look on.

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
    private readonly Counter[] _claimed;
    private Completion _completion;
    private uint _run;
    private int _sleepers;
    private int _busy;
    private volatile bool _stopping;
    private ExceptionDispatchInfo? _failure;

    // The published job: valid while the lower part of the words is not Closed.
    private void* _job;
    private delegate*<void*, int, int, void> _execute;
    private int _itemCount;

    public WorkerPool(int threads)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(threads, 1);
        _workers = new Thread[threads - 1];
        _claimed = new Counter[threads];
        foreach (ref Counter counter in _claimed.AsSpan())
        {
            counter.Word = Closed;
        }

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
        _completion.Items = 0;
        ulong run = (ulong)(++_run) << 32;

        // Full fences: the fields above are visible before the run opens, and the run is open before _sleepers is read.
        Span<Counter> counters = _claimed.AsSpan(0, Math.Min(itemCount, _claimed.Length));
        foreach (ref Counter counter in counters)
        {
            Interlocked.Exchange(ref counter.Word, run);
        }

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
        while (Volatile.Read(ref _completion.Items) != itemCount)
        {
            spinner.SpinOnce(sleep1Threshold: -1);
        }

        foreach (ref Counter counter in counters)
        {
            Interlocked.Exchange(ref counter.Word, run | Closed);
        }

        _failure?.Throw();
    }

    // Executes items of the open run until none is left: first the thread's own, then those of the threads behind it.
    private void Claim(int worker)
    {
        int owners = Math.Min(Volatile.Read(ref _itemCount), _claimed.Length);
        int done = 0;
        for (int n = 0; n < owners; n++)
        {
            int owner = (worker + n) % owners;
            done += ClaimFrom(ref _claimed[owner].Word, owner, worker);
        }

        // Once for all, and not after each item: the threads would take the word's cache line from each other. The run cannot end before.
        if (done > 0)
        {
            Interlocked.Add(ref _completion.Items, done);
        }
    }

    // Returns the number of items that were claimed, and are done.
    private int ClaimFrom(ref ulong claimed, int owner, int worker)
    {
        for (int done = 0; ; done++)
        {
            ulong word = Volatile.Read(ref claimed);
            uint next = (uint)word;
            long item = owner + ((long)next * _claimed.Length);
            int count = Volatile.Read(ref _itemCount);
            if (next == Closed || item >= count)
            {
                return done;
            }

            void* job = _job;
            delegate*<void*, int, int, void> execute = _execute;
            if (Interlocked.CompareExchange(ref claimed, word + 1, word) != word)
            {
                done--;
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
        }
    }

    private void Loop(int worker)
    {
        uint seen = 0;
        while (!_stopping)
        {
            uint run = RunOf(worker);
            if (run != seen)
            {
                seen = run;
                Claim(worker);
            }
            else if (!SpinUntilNewRun(worker, seen))
            {
                BlockUntilNewRun(worker, seen);
            }
        }
    }

    private uint RunOf(int worker) => (uint)(Volatile.Read(ref _claimed[worker].Word) >> 32);

    private bool SpinUntilNewRun(int worker, uint seen)
    {
        long start = System.Diagnostics.Stopwatch.GetTimestamp();
        do
        {
            for (int i = 0; i < 8; i++)
            {
                if (RunOf(worker) != seen || _stopping)
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

    private void BlockUntilNewRun(int worker, uint seen)
    {
        lock (_gate)
        {
            Interlocked.Increment(ref _sleepers);
            while (!_stopping && RunOf(worker) == seen)
            {
                Monitor.Wait(_gate);
            }

            Interlocked.Decrement(ref _sleepers);
        }
    }

    // Contended words have cache lines of their own, two of them (the hardware fetches lines in pairs), away from the array's length, too.
    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 256)]
    private struct Counter
    {
        [System.Runtime.InteropServices.FieldOffset(128)]
        public ulong Word;
    }

    [System.Runtime.InteropServices.StructLayout(System.Runtime.InteropServices.LayoutKind.Explicit, Size = 256)]
    private struct Completion
    {
        [System.Runtime.InteropServices.FieldOffset(128)]
        public int Items;
    }
}
