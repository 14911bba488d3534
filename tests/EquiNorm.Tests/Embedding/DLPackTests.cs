using System.Runtime.InteropServices;
using EquiNorm.Embedding;
using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Embedding;

/// <summary>DLPack structures, written byte by byte as dlpack.h lays them out on 64-bit machines.</summary>
public sealed unsafe class DLPackTests : IDisposable
{
    private const int ManagedBytes = 64;
    private const int VersionedBytes = 80;
    private readonly byte* _bytes = (byte*)NativeMemory.AllocZeroed(512);
    private readonly long* _shape;
    private readonly long* _strides;

    public DLPackTests()
    {
        _shape = (long*)(_bytes + 128);
        _strides = (long*)(_bytes + 256);
    }

    public void Dispose() => NativeMemory.Free(_bytes);

    [TestCase(2, 32, ElementType.Float32)]
    [TestCase(2, 64, ElementType.Float64)]
    [TestCase(2, 16, ElementType.Float16)]
    [TestCase(4, 16, ElementType.BFloat16)]
    public void Both_forms_give_the_same_view(byte code, byte bits, ElementType type)
    {
        foreach (var versioned in (bool[])[false, true])
        {
            Write(versioned, code: code, bits: bits, byteOffset: 64, deviceType: 2, deviceId: 3);
            var view = View(versioned);
            Assert.That((view.Address, view.ElementType, view.Device), Is.EqualTo(((nint)0x1000 + 64, type, TensorDevice.Cuda(3))));
            Assert.That(view.Shape, Is.EqualTo(new long[] { 4, 3 }));
            Assert.That(view.Strides, Is.EqualTo(new long[] { 1, 4 }));
        }
    }

    [TestCase(1, DeviceKind.Cpu)]
    [TestCase(3, DeviceKind.Cpu)]
    [TestCase(2, DeviceKind.Cuda)]
    [TestCase(13, DeviceKind.Cuda)]
    public void Device_types(int deviceType, DeviceKind kind)
    {
        Write(versioned: false, deviceType: deviceType);
        Assert.That(View(false).Device.Kind, Is.EqualTo(kind));
    }

    [Test]
    public void Without_strides_it_is_contiguous()
    {
        Write(versioned: true, hasStrides: false);
        Assert.That(View(true).Strides, Is.Null);
    }

    [Test]
    public void What_cannot_be_used_is_refused([Values] bool versioned)
    {
        Assert.Multiple(() =>
        {
            Assert.That(Error(versioned, () => Write(versioned, code: 0)), Is.EqualTo(TensorError.WrongType), "integers");
            Assert.That(Error(versioned, () => Write(versioned, bits: 8)), Is.EqualTo(TensorError.WrongType));
            Assert.That(Error(versioned, () => Write(versioned, lanes: 4)), Is.EqualTo(TensorError.WrongType));
            Assert.That(Error(versioned, () => Write(versioned, deviceType: 10)), Is.EqualTo(TensorError.WrongDevice), "ROCm");
            Assert.That(Error(versioned, () => Write(versioned, dimensions: -1)), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(versioned, () => Write(versioned, dimensions: 1000)), Is.EqualTo(TensorError.WrongShape));
            Assert.That(Error(versioned, () => Write(versioned, hasShape: false)), Is.EqualTo(TensorError.WrongShape));
            Assert.That(
                Error(versioned, () =>
                {
                    Write(versioned);
                    _shape[1] = -3;
                }),
                Is.EqualTo(TensorError.WrongShape));
        });
    }

    [Test]
    public void Read_only_tensors_unknown_versions_and_consumed_capsules_are_refused()
    {
        Assert.That(Error(true, () => Write(true, flags: 1)), Is.EqualTo(TensorError.ReadOnly));
        Assert.That(Error(true, () => Write(true, major: 2)), Is.EqualTo(TensorError.WrongType));
        Assert.That(() => DLPack.View(0), Throws.TypeOf<TensorException>().With.Message.Contains("consumed"));
        Assert.That(() => DLPack.ViewVersioned(0), Throws.TypeOf<TensorException>());
        Write(true, flags: 2);
        Assert.That(() => View(true), Throws.Nothing, "a copy may be written");
    }

    [Test]
    public void A_view_is_bound_and_rescaled_in_place()
    {
        var builder = new NetworkBuilder();
        var hidden = builder.Weight(new("a", ElementType.Float32, WeightLayout.Dense(1, 1)), builder.Input("x", 1));
        builder.Output(builder.Weight(new("b", ElementType.Float32, WeightLayout.Dense(1, 1)), hidden));
        using var session = new RescalingSession(new EquiNorm.Problem.RescalingProblem(builder.Build()));
        float a = 8, b = 2;
        (_shape[0], _shape[1]) = (1, 1);
        foreach (var (name, address) in (ReadOnlySpan<(string, nint)>)[("a", (nint)(&a)), ("b", (nint)(&b))])
        {
            Write(versioned: false, data: address, deviceType: 1, extents: 1);
            session.Bind(name, View(false));
        }

        session.Step();
        Assert.That((a, b), Is.EqualTo((4f, 4f)));
    }

    private TensorView View(bool versioned) => versioned ? DLPack.ViewVersioned((nint)_bytes) : DLPack.View((nint)_bytes);

    private TensorError Error(bool versioned, Action write)
    {
        write();
        return Assert.Throws<TensorException>(() => View(versioned))!.Error;
    }

    private void Write(
        bool versioned, byte code = 2, byte bits = 32, ushort lanes = 1, ulong byteOffset = 0, int deviceType = 2, int deviceId = 0,
        int dimensions = 2, bool hasShape = true, bool hasStrides = true, ulong flags = 0, uint major = 1, nint data = 0x1000, int extents = 0)
    {
        new Span<byte>(_bytes, versioned ? VersionedBytes : ManagedBytes).Clear();
        var tensor = versioned ? _bytes + 32 : _bytes;
        if (versioned)
        {
            *(uint*)_bytes = major;
            *(ulong*)(_bytes + 24) = flags;
        }

        *(nint*)tensor = data;
        *(int*)(tensor + 8) = deviceType;
        *(int*)(tensor + 12) = deviceId;
        *(int*)(tensor + 16) = dimensions;
        tensor[20] = code;
        tensor[21] = bits;
        *(ushort*)(tensor + 22) = lanes;
        *(nint*)(tensor + 24) = hasShape ? (nint)_shape : 0;
        *(nint*)(tensor + 32) = hasStrides ? (nint)_strides : 0;
        *(ulong*)(tensor + 40) = byteOffset;
        (_shape[0], _shape[1]) = extents > 0 ? (extents, extents) : (4, 3);
        (_strides[0], _strides[1]) = (1, 4);
    }
}
