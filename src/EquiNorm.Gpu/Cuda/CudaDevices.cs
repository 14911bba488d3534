using System.Runtime.InteropServices;

namespace EquiNorm.Gpu.Cuda;

/// <summary>Which devices there are.</summary>
public static unsafe class CudaDevices
{
    private static readonly Version Oldest = new(8, 0);

    /// <summary>Lists them. Without a driver, or with one that does not work, the list is empty and says why.</summary>
    public static CudaDeviceList List() => List(InstalledDriver.TryGet());

    internal static CudaDeviceList List(CudaDriver? driver)
    {
        if (driver is null)
        {
            return new CudaDeviceList([], null, InstalledDriver.WhyNone);
        }

        try
        {
            driver.Initialize(driver.ListMissing);
            var version = driver.Version();
            var devices = new CudaDevice[Count(driver)];
            for (var i = 0; i < devices.Length; i++)
            {
                devices[i] = Read(driver, i, version);
            }

            return new CudaDeviceList(devices, version, devices.Length == 0 ? "the CUDA driver sees no device" : null);
        }
        catch (CudaException exception)
        {
            return new CudaDeviceList([], null, exception.Message);
        }
    }

    /// <summary>A device that the kernels run on; the driver must be initialised.</summary>
    internal static CudaDevice Supported(CudaDriver driver, int index)
    {
        var count = Count(driver);
        if (index < 0 || index >= count)
        {
            throw new CudaException(
                CudaErrorKind.NoDevice,
                $"There is no device {index}: the driver sees {count}. CUDA_VISIBLE_DEVICES may hide some.");
        }

        var version = driver.Version();
        var device = Read(driver, index, version);
        return device.WhyUnsupported is null
            ? device
            : throw new CudaException(
                device.ComputeCapability < Oldest ? CudaErrorKind.UnsupportedDevice : CudaErrorKind.DriverTooOld,
                $"cuda:{index} {device.Name} cannot be used: {device.WhyUnsupported}");
    }

    private static int Count(CudaDriver driver)
    {
        int count;
        driver.Check(driver.DeviceGetCount(&count), "cuDeviceGetCount");
        return count;
    }

    private static CudaDevice Read(CudaDriver driver, int index, Version driverVersion)
    {
        int device;
        nuint bytes;
        var name = stackalloc byte[256];
        driver.Check(driver.DeviceGet(&device, index), "cuDeviceGet");
        driver.Check(driver.DeviceGetName(name, 256, device), "cuDeviceGetName");
        driver.Check(driver.DeviceTotalMem(&bytes, device), "cuDeviceTotalMem_v2");
        var capability = new Version(
            Attribute(driver, DeviceAttribute.ComputeCapabilityMajor, device), Attribute(driver, DeviceAttribute.ComputeCapabilityMinor, device));
        return new CudaDevice(
            index,
            Marshal.PtrToStringUTF8((nint)name)!,
            (long)bytes,
            capability,
            Attribute(driver, DeviceAttribute.MultiprocessorCount, device),
            WhyUnsupported(capability, driverVersion));
    }

    private static string? WhyUnsupported(Version capability, Version driver)
    {
        if (capability < Oldest)
        {
            return $"its compute capability is {capability}; the kernels need {Oldest} (Ampere) or newer.";
        }

        return driver < PtxVersion.CudaForKernels ? $"the driver is for CUDA {driver}. {PtxVersion.Needed}" : null;
    }

    private static int Attribute(CudaDriver driver, DeviceAttribute attribute, int device)
    {
        int value;
        driver.Check(driver.DeviceGetAttribute(&value, attribute, device), "cuDeviceGetAttribute");
        return value;
    }
}
