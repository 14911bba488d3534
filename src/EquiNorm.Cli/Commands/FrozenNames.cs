using EquiNorm.Cli.Text;
using EquiNorm.Model;

namespace EquiNorm.Cli.Commands;

/// <summary>The names behind --freeze: whole names, and those of groups without what exporters add to them.</summary>
internal static class FrozenNames
{
    /// <summary>The network with what is named pinned.</summary>
    /// <exception cref="CliException">A name is neither a weight nor a group.</exception>
    public static Network Freeze(Network network, IReadOnlyList<string> names)
    {
        try
        {
            var full = network.Groups.ToLookup(g => Say.Group(g.Name), g => g.Name);
            return names.Count == 0 ? network : network.Freeze(names.SelectMany(n => full.Contains(n) ? full[n] : [n]));
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.Usage, e.Message + " 'equinorm inspect' lists the names.", e);
        }
    }
}
