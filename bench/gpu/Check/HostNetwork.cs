using EquiNorm.Bench;
using EquiNorm.Model;
using EquiNorm.Testing;

namespace EquiNorm.Gpu.Bench.Check;

/// <summary>A network with its elements on the host, from either generator; can be copied.</summary>
/// <param name="Network">The network.</param>
/// <param name="Tensors">Its elements, bound.</param>
/// <param name="Copy">Makes a copy of the elements.</param>
internal sealed record HostNetwork(Network Network, NetworkTensors Tensors, Func<HostNetwork> Copy) : IDisposable
{
    /// <summary>A random network of the tests.</summary>
    public static HostNetwork Of(TestNetwork network) => new(network.Network, network.Bind(), () => Of(network.Clone()));

    /// <summary>A network of the benchmarks.</summary>
    public static HostNetwork Of(GeneratedNetwork network) => new(
        network.Network, network.Bind(), () => Of(network with { Elements = [.. network.Elements.Select(e => e.AsSpan().ToArray())] }));

    public void Dispose() => Tensors.Dispose();
}
