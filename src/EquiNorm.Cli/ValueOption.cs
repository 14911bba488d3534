using System.CommandLine;

namespace EquiNorm.Cli;

/// <summary>Options whose value is read by one of <see cref="Values"/>, and whose help says what holds without them.</summary>
internal static class ValueOption
{
    /// <summary>A number that may be left out.</summary>
    /// <param name="name">The option.</param>
    /// <param name="missing">What it means to leave it out, for the help.</param>
    /// <param name="description">What it is.</param>
    /// <param name="help">How its value is written.</param>
    /// <param name="read">Reads it.</param>
    public static Option<double?> Unset(string name, string missing, string description, string help, ValueReader<double> read) =>
        Described<double?>(name, missing, description, help, (string text, out double? value) =>
        {
            bool valid = read(text, out double number);
            value = number;
            return valid;
        });

    /// <summary>An option with a default.</summary>
    /// <param name="name">The option.</param>
    /// <param name="missing">Its default.</param>
    /// <param name="description">What it is.</param>
    /// <param name="help">How its value is written.</param>
    /// <param name="read">Reads it.</param>
    public static Option<T> Of<T>(string name, string missing, string description, string help, ValueReader<T> read)
    {
        var option = Described(name, missing, description, help, read);
        option.DefaultValueFactory = _ => read(missing, out var value) ? value : throw new InvalidOperationException($"{name}: bad default {missing}.");
        return option;
    }

    private static Option<T> Described<T>(string name, string missing, string description, string help, ValueReader<T> read) => new(name)
    {
        Description = $"{description} [default: {missing}]",
        HelpName = help,
        CustomParser = result =>
        {
            string text = result.Tokens.Count > 0 ? result.Tokens[^1].Value : "";
            if (!read(text, out var value))
            {
                result.AddError($"{name}: '{text}' is not a valid {help}.");
            }

            return value;
        },
    };
}
