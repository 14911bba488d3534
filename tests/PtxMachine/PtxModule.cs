namespace EquiNorm.PtxMachine;

/// <summary>A parameter of an entry.</summary>
/// <param name="Name">Its name in the text.</param>
/// <param name="Type">b8 for a struct, else the type of the scalar.</param>
/// <param name="Offset">Where it lies in the parameter block.</param>
/// <param name="Size">Its bytes.</param>
/// <param name="Alignment">Its alignment.</param>
public sealed record PtxParameter(string Name, string Type, int Offset, int Size, int Alignment);

/// <summary>A kernel of a module.</summary>
public sealed class PtxEntry
{
    internal PtxEntry()
    {
    }

    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>Its parameters in order.</summary>
    public required IReadOnlyList<PtxParameter> Parameters { get; init; }

    /// <summary>Bytes of the parameter block.</summary>
    public required int ParameterBytes { get; init; }

    /// <summary>Bytes of static shared memory.</summary>
    public required int SharedBytes { get; init; }

    /// <summary>Bytes of local memory of a lane.</summary>
    public required int LocalBytes { get; init; }

    /// <summary>Virtual registers in use, predicates included: far more than the hardware's, which the driver assigns.</summary>
    public required int Registers { get; init; }

    /// <summary>The largest group (.maxntid), 0 where the text does not say.</summary>
    public required int MaxThreads { get; init; }

    internal Program Program { get; init; } = null!;
}

/// <summary>PTX text, decoded once for any number of launches.</summary>
public sealed class PtxModule
{
    private readonly Dictionary<string, PtxEntry> _byName;

    private PtxModule(IReadOnlyList<PtxEntry> entries)
    {
        Entries = entries;
        _byName = entries.ToDictionary(e => e.Name);
    }

    /// <summary>The kernels in the order of the text.</summary>
    public IReadOnlyList<PtxEntry> Entries { get; }

    /// <summary>Decodes PTX; an instruction that the machine does not know is a <see cref="PtxParseException"/> that names it.</summary>
    public static PtxModule Parse(string ptx)
    {
        ArgumentNullException.ThrowIfNull(ptx);
        var syntax = PtxSyntax.Parse(ptx);
        return new(syntax.Functions.Values.Where(f => f.IsEntry).Select(f => Decoder.Decode(syntax, f).Entry).ToList());
    }

    /// <summary>The kernel with this name.</summary>
    public PtxEntry Entry(string name) =>
        _byName.TryGetValue(name, out var entry) ? entry : throw new ArgumentException($"the module has no entry {name}", nameof(name));
}
