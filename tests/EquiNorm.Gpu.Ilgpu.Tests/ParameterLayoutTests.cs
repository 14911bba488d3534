using System.Reflection;
using System.Runtime.InteropServices;
using EquiNorm.Gpu.Kernels;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>
/// The parameter blocks are the kernels' arguments field by field. Needs no ILGPU at run time: only names and types are looked at, and a
/// view counts as the address and the length that it is on a device.
/// </summary>
public sealed class ParameterLayoutTests
{
    private static readonly (Type Parameters, Type Arguments)[] Pairs =
    [
        (typeof(SumParameters), typeof(SumArguments<float, Float4>)),
        (typeof(ScaleParameters), typeof(ScaleArguments<float, Float4>)),
        (typeof(LargestParameters), typeof(LargestArguments<float>)),
        (typeof(UpdateParameters), typeof(UpdateArguments)),
        (typeof(DeadParameters), typeof(DeadArguments)),
        (typeof(CoarseParameters), typeof(CoarseArguments)),
        (typeof(ChannelSumParameters), typeof(ChannelSums)),
    ];

    [TestCaseSource(nameof(Pairs))]
    public void A_block_has_the_fields_of_the_arguments((Type Parameters, Type Arguments) pair) =>
        Assert.That(Fields(pair.Parameters), Is.EqualTo(Fields(pair.Arguments)));

    [TestCaseSource(nameof(Pairs))]
    public void Fields_lie_where_a_C_struct_has_them((Type Parameters, Type Arguments) pair)
    {
        var offset = 0;
        foreach (var field in pair.Parameters.GetFields(BindingFlags.Public | BindingFlags.Instance))
        {
            var size = Size(field.FieldType);
            offset = (offset + Math.Min(size, 8) - 1) / Math.Min(size, 8) * Math.Min(size, 8);
            Assert.That((int)Marshal.OffsetOf(pair.Parameters, field.Name), Is.EqualTo(offset), field.Name);
            offset += size;
        }

        Assert.That(offset % 8, Is.Zero, "no padding at the end");
    }

    // Views of elements and of four elements are views of bytes in the block: the kernel decides what they are.
    private static IEnumerable<string> Fields(Type type) => type.GetFields(BindingFlags.Public | BindingFlags.Instance)
        .Select(f => $"{f.Name}: {(f.FieldType.IsGenericType ? "view" : f.FieldType.IsPrimitive ? f.FieldType.Name : "block")}");

    private static int Size(Type type) => type.IsGenericType ? 16 : type == typeof(int) ? 4 : type == typeof(double) ? 8
        : type.GetFields(BindingFlags.Public | BindingFlags.Instance).Sum(f => Size(f.FieldType));
}
