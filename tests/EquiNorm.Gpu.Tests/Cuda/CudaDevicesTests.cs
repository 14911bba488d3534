using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaDevicesTests : FakeCudaFixture
{
    [Test]
    public void Devices_are_listed_with_what_they_are()
    {
        Fake.Devices.Add(new("Fake V100", 16L << 30, 7, 0, 80));
        var list = CudaDevices.List(Fake.Driver);
        Assert.Multiple(() =>
        {
            Assert.That((list.DriverVersion, list.WhyEmpty), Is.EqualTo((new Version(12, 4), (string?)null)));
            Assert.That(list.Devices[0], Is.EqualTo(new CudaDevice(0, "Fake H200", 1L << 37, new Version(9, 0), 132, null)));
            Assert.That(list.Devices[0].IsSupported);
            Assert.That(list.Devices[1].IsSupported, Is.False);
            Assert.That(list.Devices[1].WhyUnsupported, Does.Contain("7.0").And.Contain("8.0"));
        });
        Assert.That(Refusal(() => OnDevice(1), CudaErrorKind.UnsupportedDevice).Message, Does.Contain("cuda:1 Fake V100"));
        Assert.That(Refusal(() => OnDevice(2), CudaErrorKind.NoDevice).Message, Does.Contain("the driver sees 2"));
        Refusal(() => OnDevice(-1), CudaErrorKind.NoDevice);
    }

    [Test]
    public void A_driver_that_is_too_old_for_the_kernels_is_said_to_be()
    {
        Fake.Version = 11040;
        var list = CudaDevices.List(Fake.Driver);
        Assert.That(list.DriverVersion, Is.EqualTo(new Version(11, 4)));
        Assert.That(list.Devices[0].WhyUnsupported, Does.Contain("11.4").And.Contain("11.8").And.Contain("520"));
        Refusal(() => OnDevice(), CudaErrorKind.DriverTooOld);
    }

    [Test]
    public void Without_a_driver_the_list_is_empty_and_says_why()
    {
        var list = CudaDevices.List(driver: null);
        Assert.That((list.Devices.Count, list.DriverVersion), Is.EqualTo((0, (Version?)null)));
        Assert.That(list.WhyEmpty, Does.Match("^no CUDA driver: (libcuda.so.1|nvcuda.dll) was not found$"));
    }

    [TestCase(CudaResult.NoDevice, CudaErrorKind.NoDevice, "CUDA_VISIBLE_DEVICES")]
    [TestCase(CudaResult.StubLibrary, CudaErrorKind.NoDriver, "stub")]
    [TestCase(CudaResult.SystemDriverMismatch, CudaErrorKind.NoDriver, "restart")]
    [TestCase(CudaResult.Unknown, CudaErrorKind.Other, "cuInit")]
    public void A_driver_that_does_not_start_is_an_empty_list_and_a_typed_error(CudaResult result, CudaErrorKind kind, string advice)
    {
        Fake.InitResult = result;
        Assert.That(CudaDevices.List(Fake.Driver).Devices, Is.Empty);
        Assert.That(CudaDevices.List(Fake.Driver).WhyEmpty, Does.Contain(advice));
        Assert.That(Refusal(() => OnDevice(), kind).Message, Does.Contain(advice));
    }

    [Test]
    public void A_machine_whose_devices_are_gone_has_an_empty_list()
    {
        Fake.Devices.Clear();
        Assert.That(CudaDevices.List(Fake.Driver).WhyEmpty, Is.EqualTo("the CUDA driver sees no device"));
    }

    [Test]
    public void A_library_without_what_a_queue_needs_still_lists_devices()
    {
        Restart("cuGraphInstantiateWithFlags", "cuLaunchKernel");
        Assert.That(CudaDevices.List(Fake.Driver).Devices, Has.Count.EqualTo(1));
        Assert.That(
            Refusal(() => OnDevice(), CudaErrorKind.DriverTooOld).Message,
            Does.Contain("libfake.so has no cuGraphInstantiateWithFlags, cuLaunchKernel").And.Contain("520"));
    }

    [Test]
    public void A_library_that_is_none_lists_nothing()
    {
        Restart("cuInit");
        Assert.That(CudaDevices.List(Fake.Driver).WhyEmpty, Does.Contain("libfake.so has no cuInit"));
    }

    [Test]
    public void What_is_optional_may_be_absent()
    {
        Restart("cuCtxGetId", "cuStreamGetCtx", "cuFuncLoad", "cuGetErrorName");
        Fake.CreateContext();
        var stream = Fake.CreateStream();
        using (var queue = InCurrentContext(stream))
        {
            queue.Launch(First, 1, 32, 0);
            Fake.FailIn("cuStreamSynchronize", CudaResult.LaunchFailed);
            Assert.That(
                Refusal(queue.Synchronize, CudaErrorKind.LostContext).Message, Does.StartWith("cuStreamSynchronize failed with CUresult 719. "));
        }

        Assert.That(Fake.Leaks, Is.EqualTo("1 streams"));
    }
}
