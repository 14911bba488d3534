using System.Globalization;
using System.Runtime.InteropServices;

namespace EquiNorm.PtxMachine.Tests;

/// <summary>Helpers to run hand-written PTX.</summary>
internal static class Snippet
{
    /// <summary>
    /// An entry named k with u64 parameters p0, p1 ..., already in %rd0, %rd1 ...; %r0 is the thread, %r1 the group, %r2 the group's size,
    /// %rd10 the index in the grid. Free: %r3 to %r49, %rd11 to %rd49, %f, %fd, %rs, %p.
    /// </summary>
    public static string Kernel(string body, int parameters = 2, string declarations = "")
    {
        var formal = string.Join(", ", Enumerable.Range(0, parameters).Select(k => $".param .b64 p{k}"));
        var loads = string.Concat(Enumerable.Range(0, parameters).Select(k => $"ld.param.b64 %rd{k}, [p{k}];\n"));
        return string.Create(
            CultureInfo.InvariantCulture,
            $$"""
            .version 7.8
            .target sm_80
            .address_size 64
            .visible .entry k({{formal}})
            {
            {{declarations}}
            .reg .pred %p<20>;
            .reg .b16 %rs<50>;
            .reg .b32 %r<50>;
            .reg .b64 %rd<50>;
            .reg .f32 %f<50>;
            .reg .f64 %fd<50>;
            {{loads}}
            mov.u32 %r0, %tid.x;
            mov.u32 %r1, %ctaid.x;
            mov.u32 %r2, %ntid.x;
            mad.lo.u32 %r3, %r1, %r2, %r0;
            cvt.u64.u32 %rd10, %r3;
            {{body}}
            ret;
            }
            """);
    }

    public static byte[] Arguments(params ulong[] values) => MemoryMarshal.AsBytes<ulong>(values).ToArray();

    public static void Run(this PtxDevice device, string ptx, int groups, int groupSize, params ulong[] arguments) =>
        device.Launch(PtxModule.Parse(ptx), "k", groups, groupSize, Arguments(arguments));

    public static ulong Upload<T>(this PtxDevice device, ReadOnlySpan<T> data, string label = "")
        where T : unmanaged
    {
        var address = device.Allocate(data.Length * Marshal.SizeOf<T>(), label);
        device.Write(address, data);
        return address;
    }

    public static ulong Upload<T>(this PtxDevice device, T[] data, string label = "")
        where T : unmanaged => device.Upload<T>(data.AsSpan(), label);
}
