namespace EquiNorm.Cli;

/// <summary>What the process returns. On 2, 3, 5, 6 and 130 nothing has been written.</summary>
internal enum ExitCode
{
    /// <summary>Converged; verify: the same; inspect: done.</summary>
    Success = 0,

    /// <summary>verify: not the same.</summary>
    Different = 1,

    /// <summary>The command line is wrong, or the output cannot be written where it says.</summary>
    Usage = 2,

    /// <summary>A model cannot be read or is not valid.</summary>
    InvalidModel = 3,

    /// <summary>The sweep limit, or the limit of the arithmetic, came before the tolerance. The output is written: it is a valid rescaling.</summary>
    NotConverged = 4,

    /// <summary>A weight holds a NaN or an infinity, or would after rescaling.</summary>
    NonFinite = 5,

    /// <summary>The GPU that was asked for cannot be used, or it failed. The CPU can do the same work.</summary>
    Device = 6,

    /// <summary>Cancelled by a signal.</summary>
    Cancelled = 130,
}

/// <summary>Ends a command with a message for the user.</summary>
internal sealed class CliException(ExitCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What the process returns.</summary>
    public ExitCode Code { get; } = code;
}
