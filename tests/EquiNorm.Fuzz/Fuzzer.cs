using System.Buffers.Binary;
using System.Globalization;

namespace EquiNorm.Fuzz;

/// <summary>Makes case number n of a seed: a small valid model, changed by one to three mutations that its format suggests.</summary>
public static class Fuzzer
{
    private const int LengthBytes = 8;

    // Descriptions are read by two of the three targets, so they get one share of their own.
    private static readonly FuzzTarget[] Turns = [FuzzTarget.Onnx, FuzzTarget.Safetensors, FuzzTarget.Onnx, FuzzTarget.Json];

    private static readonly Dictionary<FuzzTarget, IReadOnlyList<FuzzCase>> SeedTable = Enum.GetValues<FuzzTarget>().ToDictionary(t => t, Seeds.Of);

    /// <summary>The case; depends on the seed and the number alone.</summary>
    public static FuzzCase Case(int seed, int number)
    {
        var random = new Random(Hash(seed, number));
        var seeds = SeedTable[Turns[number % Turns.Length]];
        var source = seeds[random.Next(seeds.Count)];
        for (int n = random.Next(3) == 0 ? 2 : 1; n > 0; n--)
        {
            int file = random.Next(source.Files.Count);
            var (name, content) = source.Files[file];
            byte[] other = seeds[random.Next(seeds.Count)].Files[0].Content;
            source = source.With(file, Mutate(name, content, other, random));
        }

        return source;
    }

    private static byte[] Mutate(string name, byte[] content, byte[] other, Random random)
    {
        if (random.Next(4) == 0)
        {
            return ByteMutations.Once(content, other, random);
        }

        return Path.GetExtension(name) switch
        {
            ".onnx" => ProtoMutations.Mutate(content, random),
            ".json" => JsonMutations.Mutate(content, random),
            ".safetensors" => Safetensors(content, random),
            _ => ByteMutations.Once(content, other, random),
        };
    }

    // The header as JSON, with a length that fits it; the length alone; or the data.
    private static byte[] Safetensors(byte[] content, Random random)
    {
        long stored = content.Length < LengthBytes ? -1 : BinaryPrimitives.ReadInt64LittleEndian(content);
        if (stored < 0 || stored > content.Length - LengthBytes)
        {
            return ByteMutations.Once(content, content, random);
        }

        int length = (int)stored;
        byte[] header = content[LengthBytes..(LengthBytes + length)], data = content[(LengthBytes + length)..];
        ulong written = (ulong)length;
        switch (random.Next(5))
        {
            case 0:
                written = random.Next(2) == 0 ? ByteMutations.Extreme(random) : (ulong)(length + random.Next(-20, 20));
                break;
            case 1:
                data = ByteMutations.Once(data, header, random);
                break;
            case 2:
                byte[] special = [.. Enumerable.Repeat((byte)(random.Next(2) * 0x7F + 0x80), 8)];
                special.AsSpan(0, Math.Min(8, data.Length)).CopyTo(data.AsSpan(random.Next(Math.Max(1, data.Length - 8))));
                break;
            default:
                header = JsonMutations.Mutate(header, random);
                written = (ulong)header.Length;
                break;
        }

        byte[] prefix = new byte[LengthBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(prefix, written);
        return [.. prefix, .. header, .. data];
    }

    private static int Hash(int seed, int number)
    {
        uint hash = 2166136261;
        foreach (char c in string.Create(CultureInfo.InvariantCulture, $"{seed}/{number}"))
        {
            hash = (hash ^ c) * 16777619u;
        }

        return (int)(hash >> 1);
    }
}
