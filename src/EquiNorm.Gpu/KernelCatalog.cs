using EquiNorm.Model;

namespace EquiNorm.Gpu;

/// <summary>All kernels of this assembly.</summary>
public static class KernelCatalog
{
    private static readonly List<KernelId> Registered = [];
    private static readonly Dictionary<(PowerFormula, ElementType), KernelId> Sums = CreateSums();
    private static readonly Dictionary<ElementType, KernelId> Scales = Enum.GetValues<ElementType>().ToDictionary(t => t, t => Create($"Scale{t}"));

    private static readonly Dictionary<ElementType, KernelId> Largests = Enum.GetValues<ElementType>().ToDictionary(t => t, t => Create($"Largest{t}"));

    /// <summary>Every kernel.</summary>
    public static IReadOnlyList<KernelId> All => Registered;

    /// <summary>The closed-form update.</summary>
    internal static KernelId UpdateChannels { get; } = Create("UpdateChannels");

    /// <summary>The search for dead channels at the start of a step.</summary>
    internal static KernelId FindDeadChannels { get; } = Create("FindDeadChannels");

    /// <summary>The coarse correction.</summary>
    internal static KernelId CorrectGroups { get; } = Create("CorrectGroups");

    /// <summary>The fused pass over tiles.</summary>
    internal static KernelId Sum(PowerFormula formula, ElementType type) => Sums[(formula, type)];

    /// <summary>Scaling of tiles.</summary>
    internal static KernelId Scale(ElementType type) => Scales[type];

    /// <summary>The largest magnitude of tiles.</summary>
    internal static KernelId Largest(ElementType type) => Largests[type];

    private static Dictionary<(PowerFormula, ElementType), KernelId> CreateSums() =>
        (from formula in Enum.GetValues<PowerFormula>()
         from type in Enum.GetValues<ElementType>()
         select (formula, type)).ToDictionary(k => k, k => Create($"Sum{k.formula}{k.type}"));

    private static KernelId Create(string name)
    {
        var id = new KernelId(name, Registered.Count);
        Registered.Add(id);
        return id;
    }
}

/// <summary>Which formula computes |w|^p.</summary>
internal enum PowerFormula
{
    /// <summary>p = 1.</summary>
    Absolute,

    /// <summary>p = 2.</summary>
    Square,

    /// <summary>Any other p, and whatever needs a prescale on 16- and 32-bit elements.</summary>
    Power,

    /// <summary>p = infinity: the magnitude, and the largest instead of the sum.</summary>
    Largest,
}
