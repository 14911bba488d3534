using System.Text;
using EquiNorm.Model;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Networks;

/// <summary>What an en_network stands for. Immutable: any number of threads and sessions use it.</summary>
internal sealed class NativeNetwork(Network network)
{
    private readonly Utf8Names _names = new(network.Weights);
    private readonly Lazy<byte[]> _groups = new(() => GroupsJson.Write(network));

    /// <summary>The network.</summary>
    public Network Network => network;

    /// <summary>Its channel groups as JSON, UTF-8.</summary>
    public ReadOnlySpan<byte> Groups => _groups.Value;

    /// <summary>The weight of a name from C.</summary>
    public unsafe Weight Weight(byte* name)
    {
        var bytes = Pointers.Name(name);
        if (_names.Find(bytes) is { } weight)
        {
            return weight;
        }

        Pointers.RequireUtf8(bytes);
        throw new NativeException(Status.UnknownTensor, $"The network has no weight '{Encoding.UTF8.GetString(bytes)}'.");
    }
}
