using System.Runtime.InteropServices;
using EquiNorm.Testing.Onnx;

namespace EquiNorm.Onnx.Tests.Files;

/// <summary>Small models for the file layer: every kind of field, known and unknown, in and out of order.</summary>
internal static class SampleModels
{
    public static readonly float[] Weights = [1.5f, -2f, 3.25f, 0f, 5f, -6.5f];

    /// <summary>Unknown fields of every wire type in each message, fields out of order, typed data of every kind.</summary>
    public static OnnxModelWriter Rich(int padding)
    {
        var model = new OnnxModelWriter { Padding = padding };
        model.Output("y", -1, 2);
        model.Child(5, model.NewMessage().Text(8, "raw").Bytes(9, MemoryMarshal.AsBytes(Weights.AsSpan())).Number(2, 1).Number(1, 2).Number(1, 3));
        model.Child(5, Unknown(model.Header("packed", 1, 2, 3).Bytes(4, MemoryMarshal.AsBytes(Weights.AsSpan()))));
        model.Child(5, Weights.Aggregate(model.Header("scattered", 1, 2, 3), (t, w) => t.Float(4, w)));
        model.Child(5, Weights.Aggregate(model.Header("doubles", 11, 2, 3), (t, w) => t.Double(10, w)));
        model.Child(5, model.Header("halves", 10, 2, 3).Packed(5, Weights.Select(w => (long)BitConverter.HalfToUInt16Bits((Half)w))));
        model.Child(5, model.Header("bfloats", 16, 2, 3).Packed(5, Weights.Select(w => (long)(BitConverter.SingleToUInt32Bits(w) >> 16))));
        model.Child(5, model.Header("shape", 7, 2).Packed(7, 0, -1));
        model.Child(5, model.Header("empty", 1, 0));
        model.Child(5, model.Header("text", 8, 1).Text(6, "hello"));
        model.Node("Constant", [], ["c"], ("value", model.Header("", 1, 2, 3).Bytes(9, MemoryMarshal.AsBytes(Weights.AsSpan()))));
        model.Child(1, Unknown(model.NodeMessage("MatMul", ["x", "raw"], ["y"], ("k", 3L))));
        model.Input("x", -1, 2);
        model.Child(777, model.NewMessage().Text(1, "of a later version"));
        return model;
    }

    /// <summary>Adds fields that no schema knows, one of each wire type, a group among them.</summary>
    public static ProtoMessage Unknown(ProtoMessage message) => message
        .Number(500, 1L << 40).Float(501, 1f).Double(502, 2d).Text(503, "?").Number(500, 7)
        .Raw(0xA3, 0x1F, 0xA8, 0x1F, 0x01, 0xA4, 0x1F); // group 500 with one varint inside
}
