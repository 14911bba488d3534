// Statements into instructions: names become slots, calls are inlined, branches get their targets. What the instructions of arithmetic
// mean is chosen in Decoder.Arithmetic.cs, those of memory and of the warp in Decoder.Memory.cs.
using System.Globalization;

namespace EquiNorm.PtxMachine;

/// <summary>What a name stands for.</summary>
internal abstract class Symbol;

internal sealed class RegisterSymbol(string type) : Symbol
{
    public string Type { get; } = type;

    /// <summary>The slot, or the index of the predicate; given out at first use.</summary>
    public int Slot { get; set; } = -1;
}

/// <summary>A variable in shared, local or kernel parameter memory.</summary>
internal sealed class AddressSymbol(string space, long offset, long bytes) : Symbol
{
    public string Space { get; } = space;

    public long Offset { get; } = offset;

    public long Bytes { get; } = bytes;
}

/// <summary>A parameter of a call: registers by offset, because nobody takes its address.</summary>
internal sealed class CallParameterSymbol : Symbol
{
    public Dictionary<long, (int Slot, int Bytes)> Parts { get; } = [];
}

internal sealed unsafe partial class Decoder
{
    /// <summary>Until the number of registers is known, constants and special registers are numbered from here.</summary>
    private const int ConstantBase = 1 << 20;

    private readonly PtxSyntax _syntax;
    private readonly FunctionSyntax _entry;
    private readonly List<Instruction> _code = [];
    private readonly List<(int Index, string Label, Dictionary<string, int> Labels, int Line)> _jumps = [];
    private readonly List<(int Index, List<string> Targets, Dictionary<string, int> Labels, int Line)> _tables = [];
    private readonly List<(int Index, List<int> Ends)> _returns = [];
    private readonly Dictionary<ulong, int> _constants = [];
    private readonly Dictionary<string, int> _specials = [];
    private readonly List<Dictionary<string, Symbol>> _scopes = [];
    private readonly HashSet<string> _calling = [];

    private Dictionary<string, int> _labels = [];
    private Dictionary<string, List<string>> _branchTargets = [];
    private List<int>? _returnJumps;
    private int _floor;
    private int _registers;
    private int _predicates = 2;
    private int _extra;
    private long _shared;
    private long _local;
    private bool _usesDynamicShared;
    private int _globalGranule = 4;
    private int _sharedGranule = 4;
    private bool _hasGlobalAtomics;

    private Decoder(PtxSyntax syntax, FunctionSyntax entry)
    {
        _syntax = syntax;
        _entry = entry;
    }

    public static (Program Program, PtxEntry Entry) Decode(PtxSyntax syntax, FunctionSyntax entry) => new Decoder(syntax, entry).Decode();

    private (Program Program, PtxEntry Entry) Decode()
    {
        var module = new Dictionary<string, Symbol>();
        _scopes.Add(module);
        foreach (var variable in _syntax.Shared)
        {
            Declare(_entry.Line, "shared", variable);
        }

        var parameters = new List<PtxParameter>();
        long offset = 0;
        _scopes.Add([]);
        foreach (var parameter in _entry.Parameters)
        {
            offset = Align(offset, parameter.Alignment);
            _scopes[^1][parameter.Name] = new AddressSymbol("param", offset, parameter.Bytes);
            parameters.Add(new(parameter.Name, parameter.Type, (int)offset, parameter.Bytes, parameter.Alignment));
            offset += parameter.Bytes;
        }

        Body(_entry);
        // Falling off the end returns.
        Add(new() { Kind = InstructionKind.Return, Line = _entry.Line }, null);
        return Finish(parameters, (int)offset);
    }

    private static long Align(long offset, int alignment) => (offset + alignment - 1) / alignment * alignment;

    private void Body(FunctionSyntax function)
    {
        var body = function.Body ?? throw new PtxParseException(function.Line, $"{function.Name} has no body");
        if (!_calling.Add(function.Name))
        {
            throw new PtxParseException(function.Line, $"{function.Name} calls itself, which the machine does not support");
        }

        var labels = new Dictionary<string, int>();
        var targets = new Dictionary<string, List<string>>();
        (_labels, labels) = (labels, _labels);
        (_branchTargets, targets) = (targets, _branchTargets);
        var floor = _floor;
        _scopes.Add([]);
        _floor = _scopes.Count - 2;
        for (var k = 0; k < body.Count; k++)
        {
            if (body[k] is BranchTargetsStatement table)
            {
                var name = k > 0 && body[k - 1] is LabelStatement label ? label.Name : throw new PtxParseException(table.Line, ".branchtargets without a label");
                _branchTargets[name] = table.Labels;
            }
        }

        foreach (var statement in body)
        {
            switch (statement)
            {
                case LabelStatement label:
                    if (!_labels.TryAdd(label.Name, _code.Count))
                    {
                        throw new PtxParseException(label.Line, $"the label {label.Name} is there twice");
                    }

                    break;
                case ScopeStatement scope:
                    if (scope.Opens)
                    {
                        _scopes.Add([]);
                    }
                    else
                    {
                        _scopes.RemoveAt(_scopes.Count - 1);
                    }

                    break;
                case RegisterStatement registers:
                    SizeOfRegister(registers.Type, registers.Line);
                    if (registers.Count == 0)
                    {
                        _scopes[^1][registers.Name] = new RegisterSymbol(registers.Type);
                    }

                    for (var n = 0; n < registers.Count; n++)
                    {
                        _scopes[^1][registers.Name + n.ToString(CultureInfo.InvariantCulture)] = new RegisterSymbol(registers.Type);
                    }

                    break;
                case VariableStatement variable:
                    Declare(variable.Line, variable.Space, variable.Variable);
                    break;
                case InstructionStatement instruction:
                    try
                    {
                        Translate(new(instruction));
                    }
                    catch (IndexOutOfRangeException)
                    {
                        throw new PtxParseException(instruction.Line, $"{instruction.Opcode}: operands are missing");
                    }

                    break;
            }
        }

        _scopes.RemoveAt(_scopes.Count - 1);
        _floor = floor;
        _labels = labels;
        _branchTargets = targets;
        _calling.Remove(function.Name);
    }

    private void Declare(int line, string space, VariableSyntax variable)
    {
        switch (space)
        {
            case "param":
                _scopes[^1][variable.Name] = new CallParameterSymbol();
                return;
            case "shared" when variable.Bytes < 0:
                // Lies after all static variables, wherever those end: resolved when all of them are known.
                _scopes[^1][variable.Name] = new AddressSymbol("dynamic", 0, 0);
                return;
            case "shared":
                _shared = Align(_shared, variable.Alignment);
                _scopes[^1][variable.Name] = new AddressSymbol(space, _shared, variable.Bytes);
                _shared += variable.Bytes;
                return;
            case "local" when variable.Bytes >= 0:
                _local = Align(_local, variable.Alignment);
                _scopes[^1][variable.Name] = new AddressSymbol(space, _local, variable.Bytes);
                _local += variable.Bytes;
                return;
            default:
                throw new PtxParseException(line, $"a .{space} variable without a size");
        }
    }

    private static int SizeOfRegister(string type, int line) => type == "pred" ? 0 : PtxSyntax.SizeOf(type, line);

    private Symbol? Lookup(string name)
    {
        // A function sees its own scopes and the module's.
        for (var k = _scopes.Count - 1; k >= _floor; k--)
        {
            if (_scopes[k].TryGetValue(name, out var symbol))
            {
                return symbol;
            }
        }

        return _scopes[0].GetValueOrDefault(name);
    }

    private int Constant(ulong value)
    {
        if (!_constants.TryGetValue(value, out var slot))
        {
            slot = ConstantBase + _extra++;
            _constants.Add(value, slot);
        }

        return slot * 32;
    }

    private int Temporary() => _registers++ * 32;

    private static bool IsSpecial(string name) =>
        name is "%laneid" or "%warpid" or "%nwarpid" or "%smid" or "%gridid" or "%dynamic_smem_size" or "%total_smem_size"
            or "%lanemask_eq" or "%lanemask_lt" or "%lanemask_le" or "%lanemask_gt" or "%lanemask_ge"
        || (name.Length > 2 && name[^2] == '.' && name[^1] is 'x' or 'y' or 'z' && name[..^2] is "%tid" or "%ntid" or "%ctaid" or "%nctaid");

    /// <summary>The first lane of the register, constant or special register that an operand names.</summary>
    private int Source(InstructionText s, Operand operand, string type)
    {
        if (operand.Kind == OperandKind.Literal)
        {
            return Constant(Literals.Bits(operand.Text, operand.Negated, type) ?? throw s.Error($"the literal {operand.Text}"));
        }

        if (operand.Kind != OperandKind.Name || operand.Negated)
        {
            throw s.Error($"an operand of the kind {operand.Kind}");
        }

        if (operand.Text == "WARP_SZ")
        {
            return Constant(32);
        }

        switch (Lookup(operand.Text))
        {
            case RegisterSymbol { Type: "pred" }:
                throw s.Error($"the predicate {operand.Text}");
            case RegisterSymbol register:
                return Slot(register) * 32;
            case AddressSymbol { Space: "shared" or "local" } address:
                return Constant((ulong)address.Offset);
            case AddressSymbol { Space: "dynamic" }:
                _usesDynamicShared = true;
                return SpecialSlot("dynamic shared memory");
        }

        return IsSpecial(operand.Text) ? SpecialSlot(operand.Text) : throw s.Error($"the undeclared name {operand.Text}");
    }

    private int SpecialSlot(string name)
    {
        if (!_specials.TryGetValue(name, out var slot))
        {
            slot = ConstantBase + _extra++;
            _specials.Add(name, slot);
        }

        return slot * 32;
    }

    private int Slot(RegisterSymbol register)
    {
        if (register.Slot < 0)
        {
            register.Slot = register.Type == "pred" ? _predicates++ : _registers++;
        }

        return register.Slot;
    }

    private int Destination(InstructionText s, Operand operand)
    {
        if (operand.Kind == OperandKind.Name && operand.Text == "_")
        {
            return Temporary();
        }

        return operand.Kind == OperandKind.Name && Lookup(operand.Text) is RegisterSymbol { Type: not "pred" } register
            ? Slot(register) * 32
            : throw s.Error($"the result {operand.Text}");
    }

    /// <summary>The index of a predicate; literals are the constant ones.</summary>
    private int Predicate(InstructionText s, Operand operand) => Predicate(s, operand, out _);

    private int Predicate(InstructionText s, Operand operand, out bool negated)
    {
        negated = operand.Negated;
        if (operand.Kind == OperandKind.Literal)
        {
            negated = false;
            return Literals.Bits(operand.Text, operand.Negated, "b32") != 0 ? 0 : 1;
        }

        return operand.Kind == OperandKind.Name && Lookup(operand.Text) is RegisterSymbol { Type: "pred" } register
            ? Slot(register)
            : throw s.Error($"{operand.Text} instead of a predicate");
    }

    private void Add(Instruction instruction, InstructionText? s)
    {
        if (s != null)
        {
            instruction.Line = s.Line;
            if (s.Syntax.Guard is { } guard)
            {
                instruction.Guard = Lookup(guard) is RegisterSymbol { Type: "pred" } register ? Slot(register) : throw s.Error($"the guard {guard}");
                instruction.GuardFlip = s.Syntax.GuardNegated ? uint.MaxValue : 0;
            }
        }

        if (instruction.Kind == InstructionKind.Lanes && instruction.Execute == null)
        {
            instruction.Execute = &Lanes.Nothing;
        }

        _code.Add(instruction);
    }

    private void Translate(InstructionText s)
    {
        switch (s.Head)
        {
            case "bra":
                _jumps.Add((_code.Count, s.Operands[0].Text, _labels, s.Line));
                Add(new() { Kind = InstructionKind.Branch, Uniform = s.Has("uni") }, s);
                return;
            case "brx":
                if (!_branchTargets.TryGetValue(s.Operands[1].Text, out var targets))
                {
                    throw s.Error($"the undeclared table {s.Operands[1].Text}");
                }

                _tables.Add((_code.Count, targets, _labels, s.Line));
                Add(new() { Kind = InstructionKind.BranchIndexed, Uniform = s.Has("uni"), A = Source(s, s.Operands[0], "u32") }, s);
                return;
            case "ret" when _returnJumps != null:
                _returnJumps.Add(_code.Count);
                Add(new() { Kind = InstructionKind.Branch }, s);
                return;
            case "ret" or "exit":
                Add(new() { Kind = InstructionKind.Return }, s);
                return;
            case "trap" or "brkpt":
                Add(new() { Kind = InstructionKind.Trap }, s);
                return;
            case "call":
                Call(s);
                return;
        }

        if (!TranslateArithmetic(s) && !TranslateMemory(s))
        {
            throw s.Unknown();
        }
    }

    private void Call(InstructionText s)
    {
        if (s.Syntax.Guard != null)
        {
            throw s.Error("a guard");
        }

        var operands = s.Operands;
        var results = operands[0].Kind == OperandKind.List ? operands[0].Items : [];
        var at = operands[0].Kind == OperandKind.List ? 1 : 0;
        var arguments = operands.Count > at + 1 ? operands[at + 1].Items : [];
        if (!_syntax.Functions.TryGetValue(operands[at].Text, out var function) || function.Body == null)
        {
            throw s.Error($"a call of {operands[at].Text}, which is not in the text");
        }

        var scope = new Dictionary<string, Symbol>();
        foreach (var (formal, actual) in function.Results.Zip(results).Concat(function.Parameters.Zip(arguments)))
        {
            scope[formal.Name] = Lookup(actual.Text) as CallParameterSymbol ?? throw s.Error($"the argument {actual.Text}");
        }

        if (function.Results.Count != results.Count || function.Parameters.Count != arguments.Count)
        {
            throw s.Error("the number of arguments");
        }

        var (outer, outerJumps) = (_scopes.Count, _returnJumps);
        _returnJumps = [];
        _scopes.Add(scope);
        Body(function);
        _scopes.RemoveAt(outer);
        _returns.Add((_code.Count, _returnJumps));
        _returnJumps = outerJumps;
    }

    private (Program Program, PtxEntry Entry) Finish(List<PtxParameter> parameters, int parameterBytes)
    {
        var code = _code.ToArray();
        foreach (var (index, label, labels, line) in _jumps)
        {
            code[index].Target = labels.TryGetValue(label, out var target) ? target : throw new PtxParseException(line, $"the label {label} is not there");
        }

        foreach (var (end, jumps) in _returns)
        {
            foreach (var jump in jumps)
            {
                code[jump].Target = end;
            }
        }

        var tables = new int[_tables.Count][];
        for (var k = 0; k < tables.Length; k++)
        {
            var (index, labels, all, line) = _tables[k];
            tables[k] = labels
                .Select(l => all.TryGetValue(l, out var target) ? target : throw new PtxParseException(line, $"the label {l} is not there"))
                .ToArray();
            code[index].Target = k;
        }

        var leads = new bool[code.Length + 1];
        for (var k = 0; k < code.Length; k++)
        {
            var at = k;
            for (var steps = 0; steps < code.Length && code[at].Kind == InstructionKind.Branch && code[at].Guard == 0; steps++)
            {
                at = code[at].Target;
            }

            leads[k] = code[at].Kind == InstructionKind.Return && code[at].Guard == 0;
        }

        ControlFlow.SetReconvergence(code, tables);
        foreach (ref var instruction in code.AsSpan())
        {
            Relocate(ref instruction.D);
            Relocate(ref instruction.D1);
            Relocate(ref instruction.D2);
            Relocate(ref instruction.D3);
            Relocate(ref instruction.A);
            Relocate(ref instruction.B);
            Relocate(ref instruction.C);
            Relocate(ref instruction.E);
        }

        var dynamicStart = Align(_shared, 16);
        if (_usesDynamicShared)
        {
            _shared = dynamicStart;
        }

        var constants = _constants.Select(c => (c.Key, c.Value - ConstantBase + _registers)).ToList();
        var specials = new List<(string, int)>();
        foreach (var (name, slot) in _specials)
        {
            if (name == "dynamic shared memory")
            {
                constants.Add(((ulong)dynamicStart, slot - ConstantBase + _registers));
            }
            else
            {
                specials.Add((name, slot - ConstantBase + _registers));
            }
        }

        var program = new Program
        {
            Name = _entry.Name,
            Code = code,
            LeadsToReturn = leads,
            BranchTables = tables,
            Registers = _registers,
            Slots = _registers + _extra,
            Constants = constants,
            Specials = specials,
            Predicates = _predicates,
            ParameterBytes = parameterBytes,
            SharedBytes = (int)_shared,
            UsesDynamicShared = _usesDynamicShared,
            LocalBytes = (int)Align(_local, 16),
            MaxThreads = _entry.MaxThreads,
            GlobalGranule = _globalGranule,
            SharedGranule = _sharedGranule,
            HasGlobalAtomics = _hasGlobalAtomics,
            Lines = _syntax.Lines,
        };
        return (program, new()
        {
            Name = _entry.Name,
            Parameters = parameters,
            ParameterBytes = parameterBytes,
            SharedBytes = program.SharedBytes,
            LocalBytes = (int)_local,
            Registers = _registers + _predicates - 2,
            MaxThreads = _entry.MaxThreads,
            Program = program,
        });
    }

    private void Relocate(ref int slot)
    {
        if (slot >= ConstantBase * 32)
        {
            slot = slot - ConstantBase * 32 + _registers * 32;
        }
    }

    /// <summary>An instruction of the text with its parts at hand.</summary>
    private sealed class InstructionText
    {
        private static readonly string[] TypeNames =
        [
            "pred", "b8", "u8", "s8", "b16", "u16", "s16", "f16", "bf16", "b32", "u32", "s32", "f32", "f16x2", "bf16x2", "b64", "u64", "s64", "f64",
        ];

        private readonly string[] _parts;

        public InstructionText(InstructionStatement syntax)
        {
            Syntax = syntax;
            _parts = syntax.Opcode.Split('.');
            Types = _parts.Where(p => TypeNames.Contains(p)).ToArray();
        }

        public InstructionStatement Syntax { get; }

        public int Line => Syntax.Line;

        public List<Operand> Operands => Syntax.Operands;

        public string Head => _parts[0];

        public IEnumerable<string> Modifiers => _parts.Skip(1);

        /// <summary>The types in the order in which they stand.</summary>
        public string[] Types { get; }

        public string Type => Types.Length > 0 ? Types[^1] : throw Unknown();

        public bool Has(string modifier) => _parts.AsSpan(1).Contains(modifier);

        /// <summary>Every modifier must be one of these or a type: what the machine does not know it must not ignore.</summary>
        public void Allow(params string[] modifiers)
        {
            foreach (var part in _parts.AsSpan(1))
            {
                if (!TypeNames.Contains(part) && !modifiers.Contains(part))
                {
                    throw Unknown();
                }
            }
        }

        public void Count(int operands)
        {
            if (Operands.Count != operands)
            {
                throw Error($"{Operands.Count} operands instead of {operands}");
            }
        }

        public PtxParseException Unknown() => new(Line, $"unknown instruction {Syntax.Opcode}");

        public PtxParseException Error(string what) => new(Line, $"{Syntax.Opcode}: cannot use {what}");
    }
}

/// <summary>Where diverging lanes meet again: the immediate post-dominator of each branch.</summary>
internal static class ControlFlow
{
    public static void SetReconvergence(Instruction[] code, int[][] tables)
    {
        // Instructions are the nodes; the one after the last is the exit. Kernels are small enough for that.
        var exit = code.Length;
        var predecessors = new List<int>[exit + 1];
        for (var k = 0; k <= exit; k++)
        {
            predecessors[k] = [];
        }

        for (var k = 0; k < exit; k++)
        {
            foreach (var next in Successors(code, tables, k))
            {
                predecessors[next].Add(k);
            }
        }

        // Post-order of the reversed graph from the exit; what never reaches it (an endless loop) has no number and no meeting point.
        var number = new int[exit + 1];
        Array.Fill(number, -1);
        var order = new List<int>();
        var visited = new bool[exit + 1];
        var stack = new Stack<(int Node, int Next)>();
        stack.Push((exit, 0));
        visited[exit] = true;
        while (stack.TryPop(out var top))
        {
            if (top.Next < predecessors[top.Node].Count)
            {
                stack.Push((top.Node, top.Next + 1));
                var next = predecessors[top.Node][top.Next];
                if (!visited[next])
                {
                    visited[next] = true;
                    stack.Push((next, 0));
                }
            }
            else
            {
                number[top.Node] = order.Count;
                order.Add(top.Node);
            }
        }

        var dominator = new int[exit + 1];
        Array.Fill(dominator, -1);
        dominator[exit] = exit;
        for (var changed = true; changed;)
        {
            changed = false;
            for (var k = order.Count - 2; k >= 0; k--)
            {
                var node = order[k];
                var meet = -1;
                foreach (var next in Successors(code, tables, node))
                {
                    if (number[next] < 0 || dominator[next] < 0)
                    {
                        continue;
                    }

                    meet = meet < 0 ? next : Intersect(meet, next);
                }

                if (meet >= 0 && dominator[node] != meet)
                {
                    dominator[node] = meet;
                    changed = true;
                }
            }
        }

        for (var k = 0; k < exit; k++)
        {
            if (code[k].Kind is InstructionKind.Branch or InstructionKind.BranchIndexed)
            {
                code[k].Reconvergence = dominator[k] == exit ? -1 : dominator[k];
            }
        }

        int Intersect(int a, int b)
        {
            while (a != b)
            {
                while (number[a] < number[b])
                {
                    a = dominator[a];
                }

                while (number[b] < number[a])
                {
                    b = dominator[b];
                }
            }

            return a;
        }
    }

    private static IEnumerable<int> Successors(Instruction[] code, int[][] tables, int k)
    {
        var i = code[k];
        var always = i.Guard == 0 && i.GuardFlip == 0;
        switch (i.Kind)
        {
            case InstructionKind.Branch:
                return always ? [i.Target] : [i.Target, k + 1];
            case InstructionKind.BranchIndexed:
                return always ? tables[i.Target].Distinct() : tables[i.Target].Append(k + 1).Distinct();
            case InstructionKind.Return or InstructionKind.Trap:
                return always ? [code.Length] : [code.Length, k + 1];
            default:
                return [k + 1];
        }
    }
}
