using System.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

/// <summary>A fake driver for each test. Whatever the test does, no call may leave another context current than it found.</summary>
[NonParallelizable]
internal abstract class FakeCudaFixture
{
    protected static KernelId First { get; } = new("First", 0);

    protected static KernelId Second { get; } = new("Second", 3);

    protected FakeCuda Fake { get; private set; } = null!;

    [SetUp]
    public void StartDriver() => Fake = new FakeCuda();

    [TearDown]
    public void StopDriver() => Fake.Dispose();

    /// <summary>Takes views of two kinds and two numbers between.</summary>
    protected static KernelId Views { get; } = new("Views", 1);

    /// <summary>A kernel that takes a number, or <see cref="Views"/>.</summary>
    protected static byte[] Ptx(KernelId kernel) => Encoding.ASCII.GetBytes($$"""
        // Made for a test.
        .version 7.8
        .target sm_80
        .address_size 64

        .visible .entry {{kernel.Name}}(
            {{(kernel == Views
                ? ".param .align 8 .b8 view[16], .param .b32 count, /* a factor */ .param .f32 scale,\n .param .align 8 .b8 table[16], .param .u32 last"
                : ".param .b32 number")}}
        )
        .maxntid 1024, 1, 1
        {
            ret;
        }

        """ + "\0");

    protected CudaQueue OnDevice(int index = 0) => CudaQueue.OnDevice(Fake.Driver, index, Ptx);

    protected CudaQueue OnStream(nint stream) => CudaQueue.OnStream(Fake.Driver, 0, stream, Ptx);

    protected CudaQueue InCurrentContext(nint stream) => CudaQueue.InCurrentContext(Fake.Driver, stream, Ptx);

    protected void Restart(params string[] absent)
    {
        Fake.Dispose();
        Fake = new FakeCuda(absent);
    }

    protected static CudaException Refusal(Action call, CudaErrorKind kind)
    {
        var exception = Assert.Throws<CudaException>(call)!;
        Assert.That(exception.Kind, Is.EqualTo(kind), exception.Message);
        return exception;
    }
}
