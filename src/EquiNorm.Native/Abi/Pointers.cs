using System.Text.Unicode;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Abi;

/// <summary>Pointers from C.</summary>
internal static unsafe class Pointers
{
    /// <summary>Bytes of a name, the zero at its end not counted.</summary>
    public const int LongestName = 4096;

    // The first page is never mapped: what points there is a null pointer with something added, or a number in the wrong place.
    private const nuint FirstPage = 4096;

    /// <summary>Refuses a pointer that is null.</summary>
    public static void Require(void* pointer, string name)
    {
        if ((nuint)pointer < FirstPage)
        {
            throw NativeException.Argument(pointer == null ? $"{name} is null." : $"{name} is 0x{(nuint)pointer:x}, which is no address.");
        }
    }

    /// <summary>The bytes of a name up to its zero. Whether they are UTF-8 is looked at only where nothing has that name.</summary>
    public static ReadOnlySpan<byte> Name(byte* name)
    {
        Require(name, "name");
        var length = 0;
        while (name[length] != 0)
        {
            if (++length > LongestName)
            {
                throw NativeException.Argument($"name has no zero within {LongestName} bytes.");
            }
        }

        return new ReadOnlySpan<byte>(name, length);
    }

    /// <summary>Refuses bytes that are no text.</summary>
    public static void RequireUtf8(ReadOnlySpan<byte> name)
    {
        if (!Utf8.IsValid(name))
        {
            throw NativeException.Argument("name is not UTF-8.");
        }
    }
}
