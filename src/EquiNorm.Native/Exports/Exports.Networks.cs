using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EquiNorm.Description;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;
using EquiNorm.Native.Networks;

namespace EquiNorm.Native.Exports;

// Networks.
internal static unsafe partial class Exports
{
    [UnmanagedCallersOnly(EntryPoint = "en_network_from_json", CallConvs = [typeof(CallConvCdecl)])]
    public static Status ReadNetwork(byte* json, nuint bytes, nint* network)
    {
        try
        {
            Pointers.Require(json, "json");
            Pointers.Require(network, "network");
            if (bytes > NetworkDescription.MaxBytes)
            {
                throw new NativeException(
                    Status.InvalidNetwork, $"The description has {bytes} bytes; at most {NetworkDescription.MaxBytes} are read.");
            }

            var text = new ReadOnlySpan<byte>(json, (int)bytes).ToArray();
            *network = Held.Networks.Add(new NativeNetwork(NetworkDescription.Parse(text)));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_network_free", CallConvs = [typeof(CallConvCdecl)])]
    public static void FreeNetwork(nint network)
    {
        try
        {
            if (network != 0)
            {
                Held.Networks.Remove(network);
            }
        }
        catch (Exception e)
        {
            Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_network_groups", CallConvs = [typeof(CallConvCdecl)])]
    public static Status DescribeGroups(nint network, byte* buffer, nuint capacity, nuint* needed)
    {
        try
        {
            Pointers.Require(needed, "needed");
            var groups = Held.Networks.Get(network).Groups;
            if (buffer != null && capacity > (nuint)groups.Length)
            {
                Pointers.Require(buffer, "buffer");
                groups.CopyTo(new Span<byte>(buffer, groups.Length));
                buffer[groups.Length] = 0;
            }

            *needed = (nuint)groups.Length + 1;
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }
}
