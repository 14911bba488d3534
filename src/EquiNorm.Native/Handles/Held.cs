using EquiNorm.Native.Networks;
using EquiNorm.Native.Sessions;

namespace EquiNorm.Native.Handles;

/// <summary>The objects that C holds.</summary>
internal static class Held
{
    /// <summary>en_network.</summary>
    public static HandleTable<NativeNetwork> Networks { get; } = new(1, "network");

    /// <summary>en_session.</summary>
    public static HandleTable<NativeSession> Sessions { get; } = new(2, "session");
}
