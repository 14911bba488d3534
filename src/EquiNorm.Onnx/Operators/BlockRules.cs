using EquiNorm.Onnx.Analysis;

namespace EquiNorm.Onnx.Operators;

/// <summary>Channels exchanged for blocks of positions (pixel shuffle). The positions of a channel share a factor, so what becomes one channel is tied.</summary>
internal static class BlockRules
{
    /// <summary>DepthToSpace: blocksize^2 channels become one.</summary>
    public static string? DepthToSpace(NodeContext node)
    {
        if (Channels(node) is not var (x, blocks) || x.Axis.Length % blocks != 0 || x.Axis.Length == 0)
        {
            return "its channels are not axis 1, or do not divide into blocks";
        }

        int count = x.Axis.Length / blocks;
        string mode = node.Text("mode", "DCR");
        if (mode is not ("DCR" or "CRD"))
        {
            return $"its mode {mode} is not known";
        }

        var parts = Enumerable.Range(0, blocks)
            .Select(b => node.Analysis.Builder.Select(x.Axis, Enumerable.Range(0, count).Select(c => mode == "CRD" ? c * blocks + b : b * count + c)));
        node.Set(0, new ChannelValue(node.Analysis.Builder.Add([.. parts]), x.Dim, 1) { Shape = null });
        return null;
    }

    /// <summary>SpaceToDepth: a channel becomes blocksize^2 of them, the position in the block outermost.</summary>
    public static string? SpaceToDepth(NodeContext node)
    {
        if (Channels(node) is not var (x, blocks) || (long)x.Axis.Length * blocks > RangeRules.MaximumFeatures)
        {
            return "its channels are not axis 1, or its blocks are too large";
        }

        int count = x.Axis.Length;
        var axis = node.Analysis.Builder.Select(x.Axis, Enumerable.Range(0, count * blocks).Select(c => c % count));
        node.Set(0, new ChannelValue(axis, x.Dim, 1) { Shape = null });
        return null;
    }

    // Both operators have images only: [N, C, H, W].
    private static (ChannelValue X, int Blocks)? Channels(NodeContext node) =>
        node.Channels(0) is { Positions: 1, Dim: -3 } x && node.Int("blocksize", 0) is > 0 and < 1024 and var size ? (x, (int)(size * size)) : null;
}
