using System.Diagnostics;
using System.Text;
using EquiNorm.Description;
using EquiNorm.Model;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Tests.Description;

/// <summary>Whatever the text is: a network, or a NetworkException, and soon.</summary>
public sealed class FuzzTests
{
    private const int Mutations = 4000;
    private static readonly TimeSpan LongestTime = TimeSpan.FromSeconds(10);

    // Words and numbers that lead further into the reader than random bytes.
    private static readonly string[] Words =
    [
        "0", "1", "-1", "2", "2147483647", "2147483648", "4294967297", "9223372036854775807", "9223372036854775808", "4194304", "1e9", "1.0", "null", "true", "[]", "{}",
        "\"\"", "\"\\uD800\"", "\"weight\"", "\"bias\"", "\"diagonal\"", "\"input-output\"", "\"group-output-input\"", "\"groups\": 2,", "\"groups\": 2147483647,",
        "\"strides\": [0, 0],", "\"strides\": [1, 9223372036854775807],", "\"offset\": 576460752303423488,", "\"kind\": \"diagonal\",", "\"height\": 2147483647,", "[[[[", "}", ",",
    ];

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(null)]
    public void Mutated_documents_are_read_or_refused(int? seed)
    {
        var random = new Random(seed ?? TestSeeds.Of("description fuzz", 0));
        var seeds = Documents(random).ToArray();
        var (read, longest) = (0, TimeSpan.Zero);
        for (var n = 0; n < Mutations; n++)
        {
            var bytes = Mutate(random.Pick(seeds), random);
            var clock = Stopwatch.StartNew();
            try
            {
                var network = NetworkDescription.Parse(bytes);
                read++;
                Descriptions.AssertSame(Descriptions.Parse(Descriptions.Write(network)), network);
            }
            catch (NetworkException e)
            {
                Assert.That(e.Message, Is.Not.Empty);
            }
            catch (Exception e)
            {
                Assert.Fail($"{TestSeeds.Repeat}, seed {seed}, mutation {n}: {e}\n{Encoding.UTF8.GetString(bytes)}");
            }

            var elapsed = clock.Elapsed > LongestTime ? Repeated(bytes) : clock.Elapsed;
            longest = elapsed > longest ? elapsed : longest;
        }

        TestContext.Out.WriteLine($"{read} of {Mutations} were read, the longest took {longest.TotalMilliseconds:F0} ms, {TestSeeds.Repeat}");
        Assert.That(read, Is.InRange(Mutations / 100, Mutations - Mutations / 10), TestSeeds.Repeat);
        Assert.That(longest, Is.LessThan(LongestTime), TestSeeds.Repeat);
    }

    // The machine may have stood still: only what takes long twice takes long.
    private static TimeSpan Repeated(byte[] bytes)
    {
        var clock = Stopwatch.StartNew();
        try
        {
            _ = Descriptions.Write(NetworkDescription.Parse(bytes));
        }
        catch (NetworkException)
        {
            // Refused, as before.
        }

        return clock.Elapsed;
    }

    private static IEnumerable<byte[]> Documents(Random random)
    {
        foreach (var family in (string[])["dense chain", "grouped", "shuffle", "diagonal", "concat with add", "tied"])
        {
            var network = RandomNetworks.Create(family, random.Next(), new SketchOptions { OutputScale = 0 }).Network;
            yield return Encoding.UTF8.GetBytes(Descriptions.Write(network));
        }

        yield return Encoding.UTF8.GetBytes(Descriptions.Document(
            """{ "name": "x", "channels": 4 }, { "name": "a", "channels": 6 }, { "name": "b", "channels": 6, "pinned": "why" }""",
            """
            { "name": "w", "type": "float32", "shape": [6, 20], "order": "output-input", "strides": [20, 1], "offset": 3, "output": "a", "input": "x" },
            { "name": "c", "type": "float64", "shape": [2, 3, 3, 1], "groups": 2, "order": "input-output", "output": ["b"], "input": [{ "axis": "a", "start": 1, "count": 2 }] },
            { "name": "g", "type": "float16", "kind": "diagonal", "shape": [6], "output": "b", "input": "a" }, { "name": "d", "type": "bfloat16", "kind": "bias", "shape": [4], "output": "x" }
            """,
            """["a", "b"], [["x"], [{ "axis": "a", "start": 2, "count": 4 }]]"""));
    }

    private static byte[] Mutate(byte[] document, Random random)
    {
        var bytes = document.ToList();
        for (var changes = random.Next(1, 4); changes > 0 && bytes.Count > 0; changes--)
        {
            var at = random.Next(bytes.Count);
            switch (random.Next(6))
            {
                case 0: bytes[at] = (byte)random.Next(256); break;
                case 1: bytes.RemoveRange(at, Math.Min(random.Next(1, 20), bytes.Count - at)); break;
                case 2: ReplaceToken(bytes, at, Encoding.UTF8.GetBytes(random.Pick(Words))); break;
                case 3: ReplaceToken(bytes, at, Token(bytes, random.Next(bytes.Count))); break;
                case 4: bytes.InsertRange(at, bytes.GetRange(at, Math.Min(random.Next(1, 200), bytes.Count - at))); break;
                default: ReplaceDigit(bytes, at, random); break;
            }
        }

        return [.. bytes];
    }

    private static byte[] Token(List<byte> bytes, int at)
    {
        var (start, end) = TokenAt(bytes, at);
        return [.. bytes.GetRange(start, end - start)];
    }

    private static void ReplaceToken(List<byte> bytes, int at, byte[] replacement)
    {
        var (start, end) = TokenAt(bytes, at);
        bytes.RemoveRange(start, end - start);
        bytes.InsertRange(start, replacement);
    }

    private static void ReplaceDigit(List<byte> bytes, int at, Random random)
    {
        var digit = bytes.FindIndex(at, b => b is >= (byte)'0' and <= (byte)'9');
        if (digit >= 0)
        {
            bytes[digit] = (byte)('0' + random.Next(10));
        }
    }

    private static (int Start, int End) TokenAt(List<byte> bytes, int at)
    {
        var (start, end) = (at, at);
        while (start > 0 && !IsBorder(bytes[start - 1]))
        {
            start--;
        }

        while (end < bytes.Count && !IsBorder(bytes[end]))
        {
            end++;
        }

        return (start, end);
    }

    private static bool IsBorder(byte b) => b is (byte)' ' or (byte)',' or (byte)':' or (byte)'[' or (byte)']' or (byte)'{' or (byte)'}' or (byte)'\n';
}
