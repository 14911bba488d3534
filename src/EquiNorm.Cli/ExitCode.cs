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

/// <summary>What the codes mean, in the words of docs/cli.md.</summary>
internal static class ExitCodes
{
    /// <summary>The codes after which nothing has been written.</summary>
    public const string NothingWritten = "2, 3, 5, 6 and 130";

    /// <summary>The meaning of a code.</summary>
    public static string Meaning(ExitCode code) => code switch
    {
        ExitCode.Success => "converged; `verify`: the same; nothing to rescale (the output is then the input, byte for byte)",
        ExitCode.Different => "`verify`: not the same",
        ExitCode.Usage => "wrong command line, or the output cannot be written there",
        ExitCode.InvalidModel => "a model cannot be read or is not valid",
        ExitCode.NotConverged => "not converged (sweep limit, or the limit of rounding); the output is written and is a valid rescaling",
        ExitCode.NonFinite => "a NaN or an infinity in a weight, which is named",
        ExitCode.Device => "the GPU that was asked for cannot be used, or it failed",
        ExitCode.Cancelled => "cancelled",
        _ => throw new ArgumentOutOfRangeException(nameof(code), code, "The code has no meaning."),
    };
}

/// <summary>Ends a command with a message for the user.</summary>
internal sealed class CliException(ExitCode code, string message, Exception? inner = null) : Exception(message, inner)
{
    /// <summary>What the process returns.</summary>
    public ExitCode Code { get; } = code;
}
