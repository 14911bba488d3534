using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text;

namespace EquiNorm.Native.Failures;

/// <summary>The text of a thread's last failure, where C can read it until the next one.</summary>
internal sealed unsafe class LastError
{
    // A message quotes names, which may be as long as the description of the network.
    private const int LongestMessage = 8000;

    // Each thread has its own: another thread's failure must not take the text away that this one is reading.
    [ThreadStatic]
    private static LastError? _ofThread;

    // Null: there was no memory for a text.
    private byte* _text;

    private LastError()
    {
    }

    /// <summary>Frees the text of a thread that has ended.</summary>
    ~LastError()
    {
        NativeMemory.Free(_text);
    }

    /// <summary>The text, ending in a zero; empty before the first failure. Never null.</summary>
    public static byte* Text => _ofThread is not { } last ? Literal(""u8) : last._text == null ? Literal("out of memory"u8) : last._text;

    /// <summary>Keeps a text for this thread.</summary>
    public static void Set(string message)
    {
        if (message.Length > LongestMessage)
        {
            message = $"{message.AsSpan(0, LongestMessage)}...";
        }

        // A zero ends the text in C.
        var bytes = Encoding.UTF8.GetBytes(message.Replace('\0', '\uFFFD'));
        var text = (byte*)NativeMemory.Alloc((nuint)bytes.Length + 1);
        bytes.CopyTo(new Span<byte>(text, bytes.Length));
        text[bytes.Length] = 0;
        Replace(text);
    }

    /// <summary>Keeps the text for which no memory is needed.</summary>
    public static void SetOutOfMemory() => Replace(null);

    /// <summary>The address of a literal, which lies in the image and stays where it is; the compiler ends it with a zero.</summary>
    public static byte* Literal(ReadOnlySpan<byte> text) => (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(text));

    private static void Replace(byte* text)
    {
        var last = _ofThread ??= new LastError();
        NativeMemory.Free(last._text);
        last._text = text;
    }
}
