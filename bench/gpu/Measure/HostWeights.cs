using System.Runtime.InteropServices;
using EquiNorm.Model;

namespace EquiNorm.Gpu.Bench.Measure;

/// <summary>Elements of a network in host memory of their own; tensors may be larger than an array can be.</summary>
internal sealed unsafe class HostWeights : IDisposable
{
    private readonly List<nint> _memory = [];

    /// <summary>Allocates and fills.</summary>
    public HostWeights(Network network, IElementSource elements)
    {
        Tensors = new NetworkTensors(network);
        foreach (var weight in network.Weights)
        {
            var bytes = weight.Layout.Elements * weight.ElementType.ByteSize();
            var address = (byte*)NativeMemory.AlignedAlloc((nuint)bytes, 4096);
            _memory.Add((nint)address);
            ElementCopy.Fill(weight, elements, (offset, part) => part.CopyTo(new Span<byte>(address + offset, part.Length)));
            Tensors.Bind(weight.Name, new TensorMemory((nint)address, weight.Layout.Elements, weight.ElementType));
        }
    }

    /// <summary>The binding.</summary>
    public NetworkTensors Tensors { get; }

    public void Dispose()
    {
        Tensors.Dispose();
        foreach (var address in _memory)
        {
            NativeMemory.AlignedFree((void*)address);
        }

        _memory.Clear();
    }
}

/// <summary>Takes a piece of a weight's bytes.</summary>
internal delegate void ElementWriter(long offset, ReadOnlySpan<byte> part);

/// <summary>Copies elements out of their source.</summary>
internal static class ElementCopy
{
    /// <summary>Hands all bytes of a weight to a writer, piece by piece.</summary>
    public static void Fill(Weight weight, IElementSource source, ElementWriter write)
    {
        var bytes = weight.Layout.Elements * weight.ElementType.ByteSize();
        for (long done = 0; done < bytes;)
        {
            var part = source.From(weight, done);
            write(done, part);
            done += part.Length;
        }
    }
}
