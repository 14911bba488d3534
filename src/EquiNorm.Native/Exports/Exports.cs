using System.Reflection;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Exports;

/// <summary>The functions of equinorm.h. Each catches everything: an exception that leaves one ends the process.</summary>
internal static unsafe partial class Exports
{
    private const int AbiVersion = 1;

    private static readonly nint VersionText = MakeVersionText();

    [UnmanagedCallersOnly(EntryPoint = "en_abi_version", CallConvs = [typeof(CallConvCdecl)])]
    public static int GetAbiVersion() => AbiVersion;

    [UnmanagedCallersOnly(EntryPoint = "en_version", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* GetVersion() => (byte*)VersionText;

    [UnmanagedCallersOnly(EntryPoint = "en_last_error", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* GetLastError() => LastError.Text;

    [UnmanagedCallersOnly(EntryPoint = "en_status_name", CallConvs = [typeof(CallConvCdecl)])]
    public static byte* GetStatusName(int status) => LastError.Literal(StatusNames.Of(status));

    [UnmanagedCallersOnly(EntryPoint = "en_cuda_device_count", CallConvs = [typeof(CallConvCdecl)])]
    public static Status CountCudaDevices(int* count)
    {
        try
        {
            Pointers.Require(count, "count");
            *count = CudaDevices.List().Devices.Count(d => d.WhyUnsupported is null);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    // Never freed: C may hold it as long as the process lives.
    private static nint MakeVersionText()
    {
        var version = typeof(Exports).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "";
        return Marshal.StringToCoTaskMemUTF8(version.Split('+')[0]);
    }
}
