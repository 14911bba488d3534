using EquiNorm.Files;
using EquiNorm.Model;
using EquiNorm.Onnx.Files;

namespace EquiNorm.Onnx.Analysis;

/// <summary>How a use of a tensor is rescaled.</summary>
internal enum UseRole
{
    /// <summary>As the network's weight or bias of that name.</summary>
    Declared,

    /// <summary>As a running mean in front of the network's (diagonal) weight of that name: by the factor of its input.</summary>
    Mean,
}

/// <summary>A tensor read by a node in a place that is rescaled.</summary>
/// <param name="Tensor">The tensor.</param>
/// <param name="Node">The node.</param>
/// <param name="Input">Index of the input.</param>
/// <param name="WeightName">Name of the weight or bias in the network.</param>
/// <param name="Role">How it is rescaled.</param>
internal sealed record TensorUse(OnnxTensor Tensor, NodeLayout Node, int Input, string WeightName, UseRole Role);

/// <summary>
/// Every use of every stored tensor: those that are rescaled, and those that fix the tensor as it is. Tensors that share storage
/// (a range of a data file) are one tensor here.
/// </summary>
internal sealed class TensorUses
{
    private readonly Dictionary<(MappedFile, long, long), OnnxTensor> _byStorage = [];
    private readonly Dictionary<OnnxTensor, string> _names = [];
    private readonly Dictionary<OnnxTensor, int> _reads = [];
    private readonly Dictionary<string, OnnxTensor> _aliases = new(StringComparer.Ordinal);
    private readonly Dictionary<OnnxTensor, string> _fixedBecause = [];
    private readonly HashSet<string> _weightNames = new(StringComparer.Ordinal);
    private readonly List<(OnnxTensor Tensor, ChannelAxis Output, ChannelAxis Input)> _tied = [];
    private readonly List<TensorUse> _all = [];
    private readonly HashSet<(NodeLayout Node, int Input)> _replaced = [];

    /// <summary>Resolves aliases and counts reads.</summary>
    public TensorUses(ModelLayout layout)
    {
        foreach (var tensor in layout.Initializers)
        {
            _aliases.TryAdd(tensor.Name, Canonical(tensor));
        }

        foreach (var node in layout.Nodes)
        {
            if (node.Value is { } value && node.Header.OpType == "Constant" && node.Header.Output.Count == 1)
            {
                _aliases.TryAdd(node.Header.Output[0], Canonical(value));
            }

            CountReads(node);
        }

        foreach (var output in layout.Outputs)
        {
            Count(output.Name);
        }

        FixOverlaps(layout);
    }

    /// <summary>The rescaled uses in graph order.</summary>
    public IReadOnlyList<TensorUse> All => _all;

    /// <summary>Why a tensor has a use that must see it unchanged, by tensor.</summary>
    public IReadOnlyDictionary<OnnxTensor, string> FixedBecause => _fixedBecause;

    /// <summary>Whether the node hands a constant on: its output is the constant.</summary>
    public static bool IsAlias(NodeLayout node) => node.Header.OpType is "Identity" && node.Header.Domain is "" or "ai.onnx"
        && node.Header.Input.Count == 1 && node.Header.Output.Count == 1;

    /// <summary>The first tensor with the same storage: the tensor itself, mostly.</summary>
    public OnnxTensor Canonical(OnnxTensor tensor)
    {
        if (!tensor.IsExternal || tensor.DataFile is null)
        {
            return tensor;
        }

        var key = (tensor.DataFile, tensor.DataStart, tensor.ByteLength);
        if (!_byStorage.TryGetValue(key, out var first))
        {
            _byStorage.Add(key, first = tensor);
        }

        return first.DataType == tensor.DataType && first.Dims.SequenceEqual(tensor.Dims) ? first : tensor;
    }

    /// <summary>The tensor's name: its own, or for a Constant the first value that shows it.</summary>
    public string Name(OnnxTensor tensor, string value)
    {
        if (!_names.TryGetValue(tensor, out string? name))
        {
            _names.Add(tensor, name = value);
        }

        return name;
    }

    /// <summary>The stored tensor behind a value's name, or null.</summary>
    public OnnxTensor? Behind(string value) => _aliases.GetValueOrDefault(value);

    /// <summary>How often the tensor is read, under all its names.</summary>
    public int Reads(OnnxTensor tensor) => _reads.GetValueOrDefault(tensor);

    /// <summary>A name for the network that is not taken: the tensor's, else with the node behind it.</summary>
    public string UniqueName(string name, NodeLayout node)
    {
        string result = name;
        for (int i = 1; !_weightNames.Add(result); i++)
        {
            result = i == 1 ? $"{name} of {node.DisplayName}" : $"{name} of {node.DisplayName} ({i})";
        }

        return result;
    }

    /// <summary>The name under which all uses of a tensor are tied.</summary>
    public string TiedName(string name)
    {
        _weightNames.Add(name);
        return name;
    }

    /// <summary>Records a use that is rescaled.</summary>
    public void Add(TensorUse use) => _all.Add(use);

    /// <summary>Records a read that will not be in the output: the input gets another tensor.</summary>
    public void Replace(NodeLayout node, int input) => _replaced.Add((node, input));

    /// <summary>Records the channels of a tied weight, to be pinned if the tensor turns out to be fixed.</summary>
    public void Tie(OnnxTensor tensor, ChannelAxis output, ChannelAxis input) => _tied.Add((tensor, output, input));

    /// <summary>Records that something reads the tensor as it is.</summary>
    public void Fix(OnnxTensor tensor, string reason) => _fixedBecause.TryAdd(tensor, reason);

    /// <summary>Records all reads of a node that were not registered as rescaled.</summary>
    public void FixOtherReads(NodeLayout node)
    {
        if (IsAlias(node))
        {
            return;
        }

        for (int i = 0; i < node.Header.Input.Count; i++)
        {
            if (Behind(node.Header.Input[i]) is { } tensor && !IsRegistered(node, i))
            {
                Fix(tensor, $"also read by {node.DisplayName}");
            }
        }
    }

    /// <summary>Pins what reads and writes a tied weight that something else needs unchanged.</summary>
    public void Finish(NetworkBuilder builder)
    {
        foreach (var (tensor, output, input) in _tied)
        {
            if (_fixedBecause.TryGetValue(tensor, out string? reason))
            {
                builder.Pin(output, $"weight {_names[tensor]} is {reason}");
                builder.Pin(input, $"weight {_names[tensor]} is {reason}");
            }
        }
    }

    /// <summary>Whether an input of a node is rescaled.</summary>
    public bool IsRescaled(NodeLayout node, int input) => _all.Exists(u => u.Node == node && u.Input == input);

    // The uses of the node under analysis are the last ones.
    private bool IsRegistered(NodeLayout node, int input)
    {
        bool found = _replaced.Contains((node, input));
        for (int i = _all.Count - 1; !found && i >= 0 && _all[i].Node == node; i--)
        {
            found = _all[i].Input == input;
        }

        return found;
    }

    private void CountReads(NodeLayout node)
    {
        if (IsAlias(node))
        {
            if (Behind(node.Header.Input[0]) is { } tensor)
            {
                _aliases.TryAdd(node.Header.Output[0], tensor);
            }

            return;
        }

        foreach (string name in node.Header.Input)
        {
            Count(name);
        }

        foreach (string name in node.OuterReferences)
        {
            Count(name);
        }
    }

    private void Count(string name)
    {
        if (Behind(name) is { } tensor)
        {
            _reads[tensor] = _reads.GetValueOrDefault(tensor) + 1;
        }
    }

    // Ranges of a data file that overlap without being one tensor cannot be rewritten independently: left as they are.
    private void FixOverlaps(ModelLayout layout)
    {
        var main = layout.Initializers.Concat(layout.Nodes.Where(n => n.Value is not null).Select(n => n.Value!)).ToHashSet();
        foreach (var inner in layout.ExternalTensors.Where(t => !main.Contains(t)))
        {
            Fix(Canonical(inner), "stored with a tensor of a subgraph");
        }

        foreach (var file in layout.ExternalTensors.Where(t => t.DataFile is not null && t.ByteLength > 0).GroupBy(t => t.DataFile))
        {
            OnnxTensor? reach = null;
            foreach (var tensor in file.OrderBy(t => t.DataStart).ThenByDescending(t => t.ByteLength))
            {
                if (reach is not null && tensor.DataStart < reach.DataStart + reach.ByteLength && Canonical(tensor) != Canonical(reach))
                {
                    Fix(Canonical(tensor), "stored across another tensor");
                    Fix(Canonical(reach), "stored across another tensor");
                }

                bool further = reach is null || tensor.DataStart + tensor.ByteLength > reach.DataStart + reach.ByteLength;
                reach = further ? tensor : reach;
            }
        }
    }
}
