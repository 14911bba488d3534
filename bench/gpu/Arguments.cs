using System.Globalization;

namespace EquiNorm.Gpu.Bench;

/// <summary>What the process returns.</summary>
internal static class Exit
{
    /// <summary>All checks passed; the figures were taken.</summary>
    public const int Success = 0;

    /// <summary>A check failed.</summary>
    public const int Failed = 1;

    /// <summary>The command line is wrong.</summary>
    public const int Usage = 2;

    /// <summary>There is no device to run on.</summary>
    public const int NoDevice = 3;
}

/// <summary>The command line is wrong; the message is for the user.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>Options of a command line, taken one by one; what is left over is wrong.</summary>
internal sealed class Arguments(IEnumerable<string> args, string usage)
{
    private readonly List<string> _left = [.. args];

    /// <summary>Whether an option without a value is there.</summary>
    public bool Flag(string name) => _left.Remove(name);

    /// <summary>The value of an option, or null.</summary>
    public string? Text(string name)
    {
        var at = _left.IndexOf(name);
        if (at < 0)
        {
            return null;
        }

        if (at + 1 == _left.Count)
        {
            throw new UsageException($"{name} needs a value.\n{usage}");
        }

        var value = _left[at + 1];
        _left.RemoveRange(at, 2);
        return value;
    }

    /// <summary>The value of an option that is a number from 0, or null.</summary>
    public int? Number(string name) => Text(name) switch
    {
        null => null,
        var text when int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var number) => number,
        var text => throw new UsageException($"{name}: '{text}' is not a number.\n{usage}"),
    };

    /// <summary>Refuses what nobody has taken.</summary>
    public void RequireNoMore()
    {
        if (_left.Count > 0)
        {
            throw new UsageException($"Unknown: {string.Join(" ", _left)}\n{usage}");
        }
    }
}
