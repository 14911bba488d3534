using System.Numerics;
using EquiNorm.Backends.Cpu;

namespace EquiNorm.Bench;

/// <summary>
/// The least that a step can cost: one read of every weight for the sums, one read and one write to apply, 3 |W| bytes, in the same run and with
/// the same threads (the backend's: threads of its own would have to be woken before each measurement). Plain vector loops without any
/// other arithmetic. Tensors that move with the weights (momentum) are read and written once: 2 |W| bytes more.
/// </summary>
internal sealed unsafe class MemoryFloor : IDisposable
{
    private const int ChunkElements = 1 << 18;

    private readonly WorkerPool _pool;
    private readonly (nint Address, int Count)[] _chunks;
    private readonly (nint Address, int Count)[] _scaled;
    private readonly double[] _sums;
    private readonly List<System.Buffers.MemoryHandle> _pins = [];

    public MemoryFloor(GeneratedNetwork network, CpuBackend backend, float[][]? companions = null)
    {
        _pool = backend.Pool;
        _chunks = [.. network.Elements.SelectMany(Chunks)];
        _scaled = [.. _chunks, .. (companions ?? []).SelectMany(Chunks)];
        _sums = new double[_chunks.Length];
    }

    /// <summary>Reads and sums all weights: |W| bytes.</summary>
    public double Read()
    {
        _pool.Run(new ReadJob(this), _chunks.Length);
        return _sums.Sum();
    }

    /// <summary>Reads all weights, then multiplies everything in place: 3 |W| bytes, or 5 with companions.</summary>
    public double Step()
    {
        var sum = Read();
        _pool.Run(new ScaleJob(this), _scaled.Length);
        return sum;
    }

    public void Dispose()
    {
        foreach (var pin in _pins)
        {
            pin.Dispose();
        }
    }

    private List<(nint Address, int Count)> Chunks(float[] elements)
    {
        var pin = elements.AsMemory().Pin();
        _pins.Add(pin);
        var chunks = new List<(nint, int)>();
        for (var first = 0; first < elements.Length; first += ChunkElements)
        {
            chunks.Add(((nint)((float*)pin.Pointer + first), Math.Min(ChunkElements, elements.Length - first)));
        }

        return chunks;
    }

    private readonly struct ReadJob(MemoryFloor floor) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            var (address, count) = floor._chunks[item];
            var x = (float*)address;
            var (a, b, c, d) = (Vector<float>.Zero, Vector<float>.Zero, Vector<float>.Zero, Vector<float>.Zero);
            var n = 0;
            for (; n <= count - 4 * Vector<float>.Count; n += 4 * Vector<float>.Count)
            {
                a += Vector.Load(x + n);
                b += Vector.Load(x + n + Vector<float>.Count);
                c += Vector.Load(x + n + 2 * Vector<float>.Count);
                d += Vector.Load(x + n + 3 * Vector<float>.Count);
            }

            double sum = Vector.Sum(a + b + c + d);
            for (; n < count; n++)
            {
                sum += x[n];
            }

            floor._sums[item] = sum;
        }
    }

    private readonly struct ScaleJob(MemoryFloor floor) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            var (address, count) = floor._scaled[item];
            var x = (float*)address;
            var one = new Vector<float>(1f);
            var n = 0;
            for (; n <= count - 2 * Vector<float>.Count; n += 2 * Vector<float>.Count)
            {
                var a = Vector.Load(x + n) * one;
                var b = Vector.Load(x + n + Vector<float>.Count) * one;
                a.Store(x + n);
                b.Store(x + n + Vector<float>.Count);
            }

            for (; n < count; n++)
            {
                x[n] *= 1f;
            }
        }
    }
}
