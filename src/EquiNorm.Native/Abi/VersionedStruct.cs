using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Abi;

/// <summary>
/// Structs that begin with their size as the caller knows it. A caller newer than this library has a larger one: what it sets there beyond
/// what is known here would be lost, so it must be zero.
/// </summary>
internal static unsafe class VersionedStruct
{
    // No struct grows to this size; a larger number is memory that was never initialised.
    private const uint LargestSize = 4096;

    /// <summary>Copies a struct that is read.</summary>
    public static T Read<T>(void* from, string name)
        where T : unmanaged
    {
        var size = SizeOf<T>(from, name);
        if (new ReadOnlySpan<byte>((byte*)from + sizeof(T), size - sizeof(T)).ContainsAnyExcept((byte)0))
        {
            throw NativeException.Argument(
                $"{name} has {size} bytes, of which this library knows {sizeof(T)}, and sets something in the others: the library is older than its caller.");
        }

        T value;
        Buffer.MemoryCopy(from, &value, sizeof(T), sizeof(T));
        return value;
    }

    /// <summary>Refuses a struct that cannot be written; a call does so before it does anything else.</summary>
    public static void RequireRoom<T>(void* to, string name)
        where T : unmanaged => SizeOf<T>(to, name);

    /// <summary>Writes a struct behind its size, which stays, and zeros where the caller's is larger.</summary>
    public static void Write<T>(T value, void* to, string name)
        where T : unmanaged
    {
        var size = SizeOf<T>(to, name);
        new ReadOnlySpan<byte>(&value, sizeof(T))[sizeof(uint)..].CopyTo(new Span<byte>((byte*)to + sizeof(uint), sizeof(T) - sizeof(uint)));
        new Span<byte>((byte*)to + sizeof(T), size - sizeof(T)).Clear();
    }

    /// <summary>Checks a size that is given beside the struct.</summary>
    public static int RequireSize<T>(ulong size, string name)
        where T : unmanaged
    {
        // The first version's structs are the smallest there are.
        return size >= (ulong)sizeof(T) && size <= LargestSize ? (int)size : throw NativeException.Argument(
            $"The size of {name} is {size}; it has {sizeof(T)} bytes. Is its field `size` set?");
    }

    private static int SizeOf<T>(void* address, string name)
        where T : unmanaged
    {
        Pointers.Require(address, name);
        uint size;
        Buffer.MemoryCopy(address, &size, sizeof(uint), sizeof(uint));
        return RequireSize<T>(size, name);
    }
}
