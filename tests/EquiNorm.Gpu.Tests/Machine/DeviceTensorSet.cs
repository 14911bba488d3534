using EquiNorm.Model;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Tests.Machine;

/// <summary>Test tensors in the memory of a machine, as a framework hands them over.</summary>
internal sealed unsafe class DeviceTensorSet(MachineQueue queue) : IDisposable
{
    private readonly List<(TestTensor Tensor, DeviceMemory Memory, TensorView View)> _tensors = [];

    /// <summary>Copies a tensor to memory of its own.</summary>
    public TensorView View(TestTensor tensor, params long[] shape)
    {
        var bytes = Math.Max(1, tensor.Length * tensor.ElementType.ByteSize());
        var memory = queue.Allocate(bytes, "weights");
        using (var pin = tensor.Pin())
        {
            queue.Upload(new ReadOnlySpan<byte>(pin.Pointer, tensor.Length * tensor.ElementType.ByteSize()), memory.Address);
        }

        var view = new TensorView((nint)memory.Address, tensor.ElementType, shape) { Device = TensorDevice.Cuda(0) };
        _tensors.Add((tensor, memory, view));
        return view;
    }

    /// <summary>The view that was made last of a tensor.</summary>
    public TensorView ViewOf(TestTensor tensor) => _tensors.Last(t => t.Tensor == tensor).View;

    /// <summary>Copies everything back; of a tensor with several places the last.</summary>
    public void Download()
    {
        foreach (var (tensor, memory, _) in _tensors)
        {
            using var pin = tensor.Pin();
            queue.Download(memory.Address, new Span<byte>(pin.Pointer, tensor.Length * tensor.ElementType.ByteSize()));
        }
    }

    public void Dispose()
    {
        foreach (var (_, memory, _) in _tensors)
        {
            queue.Free(memory);
        }
    }
}
