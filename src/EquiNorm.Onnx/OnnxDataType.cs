namespace EquiNorm.Onnx;

// ONNX's element types by their public numbers, and what the reader must know of each: the bits of one element and the typed
// field of TensorProto that holds it when raw_data does not.

/// <summary>Element types of ONNX tensors (TensorProto.DataType).</summary>
public enum OnnxDataType
{
    /// <summary>Not given, or a type that this library does not know.</summary>
    Undefined = 0,

    /// <summary>IEEE 754 binary32.</summary>
    Float = 1,

    /// <summary>Unsigned 8-bit integer.</summary>
    UInt8 = 2,

    /// <summary>Signed 8-bit integer.</summary>
    Int8 = 3,

    /// <summary>Unsigned 16-bit integer.</summary>
    UInt16 = 4,

    /// <summary>Signed 16-bit integer.</summary>
    Int16 = 5,

    /// <summary>Signed 32-bit integer.</summary>
    Int32 = 6,

    /// <summary>Signed 64-bit integer.</summary>
    Int64 = 7,

    /// <summary>Text.</summary>
    String = 8,

    /// <summary>One byte, 0 or 1.</summary>
    Bool = 9,

    /// <summary>IEEE 754 binary16.</summary>
    Float16 = 10,

    /// <summary>IEEE 754 binary64.</summary>
    Double = 11,

    /// <summary>Unsigned 32-bit integer.</summary>
    UInt32 = 12,

    /// <summary>Unsigned 64-bit integer.</summary>
    UInt64 = 13,

    /// <summary>Two binary32.</summary>
    Complex64 = 14,

    /// <summary>Two binary64.</summary>
    Complex128 = 15,

    /// <summary>The upper half of a binary32.</summary>
    BFloat16 = 16,
}

/// <summary>Sizes of <see cref="OnnxDataType"/>.</summary>
internal static class OnnxDataTypes
{
    /// <summary>Bits of one element; 0 where elements have no fixed size or the type is not known (its bytes are not checked then).</summary>
    public static int Bits(this OnnxDataType type) => (int)type switch
    {
        1 or 6 or 12 => 32,
        2 or 3 or 9 => 8,
        4 or 5 or 10 or 16 => 16,
        7 or 11 or 13 or 14 => 64,
        15 => 128,
        17 or 18 or 19 or 20 or 24 => 8, // the float8 family
        21 or 22 or 23 => 4, // uint4, int4, float4
        25 or 26 => 2, // uint2, int2
        _ => 0,
    };

    /// <summary>The field of TensorProto that holds typed data of this type; 0 if none is known.</summary>
    public static int TypedField(this OnnxDataType type) => (int)type switch
    {
        1 or 14 => 4, // float_data
        2 or 3 or 4 or 5 or 6 or 9 or 10 or 16 => 5, // int32_data
        7 => 7, // int64_data
        8 => 6, // string_data
        11 or 15 => 10, // double_data
        12 or 13 => 11, // uint64_data
        _ => 0,
    };

    /// <summary>The core's name for the type, or null if it is not a floating-point type that can be rescaled.</summary>
    public static Model.ElementType? ElementType(this OnnxDataType type) => type switch
    {
        OnnxDataType.Float => Model.ElementType.Float32,
        OnnxDataType.Double => Model.ElementType.Float64,
        OnnxDataType.Float16 => Model.ElementType.Float16,
        OnnxDataType.BFloat16 => Model.ElementType.BFloat16,
        _ => null,
    };
}
