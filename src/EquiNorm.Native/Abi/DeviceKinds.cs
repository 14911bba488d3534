namespace EquiNorm.Native.Abi;

/// <summary>en_device_kind, which is DLPack's.</summary>
internal static class DeviceKinds
{
    public const int Cpu = 1;
    public const int Cuda = 2;
}
