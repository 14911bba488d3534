namespace EquiNorm.Native.Abi;

/// <summary>en_tensor.</summary>
internal unsafe struct TensorStruct
{
    public uint Size;
    public int Type;
    public int DeviceKind;
    public int DeviceIndex;
    public void* Data;
    public int Dimensions;
    public int Reserved;
    public long* Shape;
    public long* Strides;
}
