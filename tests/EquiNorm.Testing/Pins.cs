using System.Buffers;
using EquiNorm.Model;

namespace EquiNorm.Testing;

/// <summary>Tensors of tests as a framework hands them over; they stay where they are until disposal.</summary>
public sealed unsafe class Pins : IDisposable
{
    private readonly List<MemoryHandle> _handles = [];

    public TensorView View(TestTensor tensor, params long[] shape)
    {
        _handles.Add(tensor.Pin());
        return new TensorView((nint)_handles[^1].Pointer, tensor.ElementType, shape);
    }

    public void Dispose()
    {
        foreach (var handle in _handles)
        {
            handle.Dispose();
        }

        _handles.Clear();
    }
}
