namespace EquiNorm.Cli.Backends;

/// <summary>Where `--backend` says that a problem is solved.</summary>
internal enum BackendKind
{
    /// <summary>The first GPU that can be used, else the CPU.</summary>
    Auto,

    /// <summary>The CPU.</summary>
    Cpu,

    /// <summary>A GPU, by the CUDA driver.</summary>
    Cuda,

    /// <summary>An accelerator of ILGPU.</summary>
    Ilgpu,
}

/// <summary>A backend as it was asked for.</summary>
/// <param name="Kind">Which.</param>
/// <param name="Device">The GPU's number; null for the first that can be used.</param>
/// <param name="Accelerator">ILGPU's accelerator: cuda, cuda:N or cpu.</param>
internal sealed record BackendChoice(BackendKind Kind, int? Device = null, string Accelerator = "cuda");
