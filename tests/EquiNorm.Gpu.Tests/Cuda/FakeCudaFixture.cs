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

    protected static byte[] Ptx(KernelId kernel) => Encoding.ASCII.GetBytes(
        $".version 7.8\n.target sm_80\n.address_size 64\n.visible .entry {kernel.Name}(\n)\n{{ ret; }}\n\0");

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
