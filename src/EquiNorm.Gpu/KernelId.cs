namespace EquiNorm.Gpu;

/// <summary>Names a kernel. Its code is in the assembly, one image of PTX for each.</summary>
public sealed class KernelId
{
    internal KernelId(string name, int index)
    {
        Name = name;
        Index = index;
    }

    /// <summary>Its name; that of its entry may have ILGPU's prefix.</summary>
    public string Name { get; }

    /// <summary>A small number of its own, for tables.</summary>
    public int Index { get; }

    /// <inheritdoc/>
    public override string ToString() => Name;
}
