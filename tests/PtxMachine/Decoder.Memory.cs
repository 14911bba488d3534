using System.Numerics;

namespace EquiNorm.PtxMachine;

internal sealed unsafe partial class Decoder
{
    private static readonly string[] Hints =
    [
        "ca", "cg", "cs", "lu", "cv", "wb", "wt", "relaxed", "volatile", "weak", "cta", "gpu", "sys", "nc",
        "L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last", "L1::no_allocate", "L2::64B", "L2::128B", "L2::256B",
        "global", "shared", "shared::cta", "local", "param", "v2", "v4",
    ];

    private static readonly string[] AtomicOperations = ["add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"];

    private bool TranslateMemory(InstructionText s)
    {
        switch (s.Head)
        {
            case "ld" or "ldu":
                s.Allow([.. Hints, "acquire"]);
                Load(s);
                return true;
            case "st":
                s.Allow([.. Hints, "release"]);
                Store(s);
                return true;
            case "atom" or "red":
                Atomic(s);
                return true;
            case "cvta":
                ConvertAddress(s);
                return true;
            case "membar":
                s.Allow("gl", "cta", "sys");
                Add(new() { Execute = s.Has("cta") ? &Lanes.Nothing : &MemoryLanes.Fence }, s);
                return true;
            case "fence":
                s.Allow("acq_rel", "sc", "cta", "gpu", "sys");
                Add(new() { Execute = s.Has("cta") ? &Lanes.Nothing : &MemoryLanes.Fence }, s);
                return true;
            case "prefetch" or "prefetchu":
                s.Allow("global", "local", "L1", "L2", "L2::evict_last", "L2::evict_normal");
                s.Count(1);
                Add(new(), s);
                return true;
            case "bar" or "barrier":
                Barrier(s);
                return true;
            case "shfl":
                Shuffle(s);
                return true;
            case "vote":
                Vote(s);
                return true;
            case "activemask":
                s.Allow();
                s.Count(1);
                Add(new() { Execute = &WarpLanes.ActiveMask, D = Destination(s, s.Operands[0]) }, s);
                return true;
            case "redux":
                Reduce(s);
                return true;
            case "match":
                s.Allow("any", "sync");
                s.Count(3);
                if (!s.Has("any"))
                {
                    throw s.Unknown();
                }

                Add(
                    new()
                    {
                        Execute = &WarpLanes.Match,
                        Uniform = true,
                        Bytes = PtxSyntax.SizeOf(s.Type, s.Line),
                        D = Destination(s, s.Operands[0]),
                        A = Source(s, s.Operands[1], s.Type),
                        E = Source(s, s.Operands[2], "b32"),
                    },
                    s);
                return true;
            default:
                return false;
        }
    }

    private static string Space(InstructionText s) =>
        s.Has("global") ? "global" : s.Has("shared") || s.Has("shared::cta") ? "shared" : s.Has("local") ? "local" : s.Has("param") ? "param" : "generic";

    private static List<Operand> Parts(InstructionText s, Operand operand)
    {
        var parts = operand.Kind == OperandKind.Vector ? operand.Items : [operand];
        var expected = s.Has("v2") ? 2 : s.Has("v4") ? 4 : 1;
        return parts.Count == expected ? parts : throw s.Error($"{parts.Count} parts instead of {expected}");
    }

    /// <summary>[register + offset], [variable + offset] or [literal].</summary>
    private int Address(InstructionText s, Operand operand, ref Instruction instruction)
    {
        if (operand.Kind != OperandKind.Address)
        {
            throw s.Error("an operand that is no address");
        }

        instruction.Immediate = operand.Offset;
        if (Literals.TryInteger(operand.Text, out var literal))
        {
            return Constant(literal);
        }

        return Source(s, new() { Kind = OperandKind.Name, Text = operand.Text }, "b64");
    }

    private void Note(string space, int elementBytes, int vector)
    {
        var log = BitOperations.Log2((uint)(elementBytes * vector));
        if (space is "global" or "generic")
        {
            _globalGranule = Math.Min(_globalGranule, log);
        }

        if (space is "shared" or "generic")
        {
            _sharedGranule = Math.Min(_sharedGranule, log);
        }
    }

    private void Load(InstructionText s)
    {
        s.Count(2);
        var parts = Parts(s, s.Operands[0]);
        var bytes = PtxSyntax.SizeOf(s.Type, s.Line);
        var space = Space(s);
        if (space == "param")
        {
            LoadParameter(s, parts, bytes);
            return;
        }

        var instruction = new Instruction { Mode = (byte)parts.Count, Bytes = bytes * parts.Count };
        if (instruction.Bytes > 16)
        {
            throw s.Unknown();
        }

        Note(space, bytes, parts.Count);
        instruction.A = Address(s, s.Operands[1], ref instruction);
        instruction.D = Destination(s, parts[0]);
        instruction.D1 = parts.Count > 1 ? Destination(s, parts[1]) : 0;
        instruction.D2 = parts.Count > 2 ? Destination(s, parts[2]) : 0;
        instruction.D3 = parts.Count > 2 ? Destination(s, parts[3]) : 0;
        instruction.Execute = space switch
        {
            "global" => Loader<GlobalSpace>(s),
            "shared" => Loader<SharedSpace>(s),
            "local" => Loader<LocalSpace>(s),
            _ => Loader<GenericSpace>(s),
        };
        Add(instruction, s);
    }

    private static delegate*<Warp, Instruction*, uint, void> Loader<TSpace>(InstructionText s)
        where TSpace : struct, ISpace => s.Type switch
        {
            "b8" or "u8" => &MemoryLanes.Load<byte, TSpace>,
            "s8" => &MemoryLanes.Load<sbyte, TSpace>,
            "b16" or "u16" or "f16" => &MemoryLanes.Load<ushort, TSpace>,
            "s16" => &MemoryLanes.Load<short, TSpace>,
            "b32" or "u32" or "f32" => &MemoryLanes.Load<uint, TSpace>,
            "s32" => &MemoryLanes.Load<int, TSpace>,
            "b64" or "u64" or "s64" or "f64" => &MemoryLanes.Load<ulong, TSpace>,
            _ => throw s.Unknown(),
        };

    private void LoadParameter(InstructionText s, List<Operand> parts, int bytes)
    {
        var address = s.Operands[1];
        switch (address.Kind == OperandKind.Address ? Lookup(address.Text) : null)
        {
            case CallParameterSymbol call:
                for (var v = 0; v < parts.Count; v++)
                {
                    if (!call.Parts.TryGetValue(address.Offset + v * bytes, out var part) || part.Bytes != bytes)
                    {
                        throw s.Error($"bytes {address.Offset + v * bytes} of {address.Text}, which nobody has stored like that");
                    }

                    Add(new() { Execute = Mover(s), D = Destination(s, parts[v]), A = part.Slot }, s);
                }

                return;
            case AddressSymbol { Space: "param" } parameter:
                if (address.Offset < 0 || address.Offset + bytes * parts.Count > parameter.Bytes)
                {
                    throw s.Error($"bytes {address.Offset} and on of {address.Text}, which has {parameter.Bytes}");
                }

                Add(
                    new()
                    {
                        Execute = s.Type switch
                        {
                            "b8" or "u8" => &Lanes.LoadParameter<byte>,
                            "s8" => &Lanes.LoadParameter<sbyte>,
                            "b16" or "u16" or "f16" => &Lanes.LoadParameter<ushort>,
                            "s16" => &Lanes.LoadParameter<short>,
                            "b32" or "u32" or "f32" => &Lanes.LoadParameter<uint>,
                            "s32" => &Lanes.LoadParameter<int>,
                            _ => &Lanes.LoadParameter<ulong>,
                        },
                        Mode = (byte)parts.Count,
                        Immediate = parameter.Offset + address.Offset,
                        D = Destination(s, parts[0]),
                        D1 = parts.Count > 1 ? Destination(s, parts[1]) : 0,
                        D2 = parts.Count > 2 ? Destination(s, parts[2]) : 0,
                        D3 = parts.Count > 2 ? Destination(s, parts[3]) : 0,
                    },
                    s);
                return;
            default:
                throw s.Error($"{address.Text} as a parameter");
        }
    }

    private static delegate*<Warp, Instruction*, uint, void> Mover(InstructionText s) => s.Type switch
    {
        "b8" or "u8" => &Lanes.Unary<Move<byte>>,
        "s8" => &Lanes.Unary<IntegerToInteger<sbyte, sbyte>>,
        "b16" or "u16" or "f16" => &Lanes.Unary<Move<ushort>>,
        "s16" => &Lanes.Unary<IntegerToInteger<short, short>>,
        "b32" or "u32" or "f32" => &Lanes.Unary<Move<uint>>,
        "s32" => &Lanes.Unary<IntegerToInteger<int, int>>,
        _ => &Lanes.Unary<Move<ulong>>,
    };

    private void Store(InstructionText s)
    {
        s.Count(2);
        var parts = Parts(s, s.Operands[1]);
        var bytes = PtxSyntax.SizeOf(s.Type, s.Line);
        var space = Space(s);
        if (space == "param")
        {
            var address = s.Operands[0];
            var call = (address.Kind == OperandKind.Address ? Lookup(address.Text) : null) as CallParameterSymbol ?? throw s.Error($"{address.Text} as a parameter");
            for (var v = 0; v < parts.Count; v++)
            {
                var at = address.Offset + v * bytes;
                if (!call.Parts.TryGetValue(at, out var part))
                {
                    part = (Temporary(), bytes);
                    call.Parts.Add(at, part);
                }

                if (part.Bytes != bytes)
                {
                    throw s.Error($"bytes {at} of {address.Text} in two sizes");
                }

                Add(new() { Execute = Mover(s), D = part.Slot, A = Source(s, parts[v], s.Type) }, s);
            }

            return;
        }

        var instruction = new Instruction { Mode = (byte)parts.Count, Bytes = bytes * parts.Count };
        if (instruction.Bytes > 16)
        {
            throw s.Unknown();
        }

        Note(space, bytes, parts.Count);
        instruction.A = Address(s, s.Operands[0], ref instruction);
        instruction.D = Source(s, parts[0], s.Type);
        instruction.D1 = parts.Count > 1 ? Source(s, parts[1], s.Type) : 0;
        instruction.D2 = parts.Count > 2 ? Source(s, parts[2], s.Type) : 0;
        instruction.D3 = parts.Count > 2 ? Source(s, parts[3], s.Type) : 0;
        instruction.Execute = space switch
        {
            "global" => Storer<GlobalSpace>(bytes),
            "shared" => Storer<SharedSpace>(bytes),
            "local" => Storer<LocalSpace>(bytes),
            _ => Storer<GenericSpace>(bytes),
        };
        Add(instruction, s);
    }

    private static delegate*<Warp, Instruction*, uint, void> Storer<TSpace>(int bytes)
        where TSpace : struct, ISpace => bytes switch
        {
            1 => &MemoryLanes.Store<byte, TSpace>,
            2 => &MemoryLanes.Store<ushort, TSpace>,
            4 => &MemoryLanes.Store<uint, TSpace>,
            _ => &MemoryLanes.Store<ulong, TSpace>,
        };

    private void Atomic(InstructionText s)
    {
        // ILGPU puts the space after the operation, NVIDIA's manual before it; the order carries no meaning.
        s.Allow([.. AtomicOperations, "global", "shared", "shared::cta", "relaxed", "acquire", "release", "acq_rel", "cta", "gpu", "sys"]);
        var operation = s.Modifiers.FirstOrDefault(m => AtomicOperations.Contains(m)) ?? throw s.Unknown();
        var space = Space(s);
        var returns = s.Head == "atom";
        var at = returns ? 1 : 0;
        s.Count(at + (operation == "cas" ? 3 : 2));
        var instruction = new Instruction
        {
            Bytes = PtxSyntax.SizeOf(s.Type, s.Line),
            D = returns ? Destination(s, s.Operands[0]) : -1,
            B = Source(s, s.Operands[at + 1], s.Type),
            C = operation == "cas" ? Source(s, s.Operands[at + 2], s.Type) : 0,
            // Orders memory by itself.
            Mode = s.Has("release") || s.Has("acq_rel") ? (byte)1 : (byte)0,
        };
        instruction.A = Address(s, s.Operands[at], ref instruction);
        instruction.Execute = space switch
        {
            "global" => Atomic<GlobalSpace>(s, operation),
            "shared" => Atomic<SharedSpace>(s, operation),
            "generic" => Atomic<GenericSpace>(s, operation),
            _ => throw s.Unknown(),
        };
        Note(space, instruction.Bytes, 1);
        _hasGlobalAtomics |= space != "shared";
        Add(instruction, s);
    }

    private static delegate*<Warp, Instruction*, uint, void> Atomic<TSpace>(InstructionText s, string operation)
        where TSpace : struct, ISpace => (operation, s.Type) switch
        {
            ("add", "u32" or "s32") => &MemoryLanes.Atomic<uint, Add<uint>, TSpace>,
            ("add", "u64" or "s64") => &MemoryLanes.Atomic<ulong, Add<ulong>, TSpace>,
            ("add", "f32") => &MemoryLanes.Atomic<uint, Add<float>, TSpace>,
            ("add", "f64") => &MemoryLanes.Atomic<ulong, Add<double>, TSpace>,
            ("min", "u32") => &MemoryLanes.Atomic<uint, MinInteger<uint>, TSpace>,
            ("min", "s32") => &MemoryLanes.Atomic<uint, MinInteger<int>, TSpace>,
            ("min", "u64") => &MemoryLanes.Atomic<ulong, MinInteger<ulong>, TSpace>,
            ("min", "s64") => &MemoryLanes.Atomic<ulong, MinInteger<long>, TSpace>,
            ("max", "u32") => &MemoryLanes.Atomic<uint, MaxInteger<uint>, TSpace>,
            ("max", "s32") => &MemoryLanes.Atomic<uint, MaxInteger<int>, TSpace>,
            ("max", "u64") => &MemoryLanes.Atomic<ulong, MaxInteger<ulong>, TSpace>,
            ("max", "s64") => &MemoryLanes.Atomic<ulong, MaxInteger<long>, TSpace>,
            ("and", "b32") => &MemoryLanes.Atomic<uint, And, TSpace>,
            ("and", "b64") => &MemoryLanes.Atomic<ulong, And, TSpace>,
            ("or", "b32") => &MemoryLanes.Atomic<uint, Or, TSpace>,
            ("or", "b64") => &MemoryLanes.Atomic<ulong, Or, TSpace>,
            ("xor", "b32") => &MemoryLanes.Atomic<uint, Xor, TSpace>,
            ("xor", "b64") => &MemoryLanes.Atomic<ulong, Xor, TSpace>,
            ("exch", "b32") => &MemoryLanes.Atomic<uint, Exchange, TSpace>,
            ("exch", "b64") => &MemoryLanes.Atomic<ulong, Exchange, TSpace>,
            ("inc", "u32") => &MemoryLanes.Atomic<uint, Increment, TSpace>,
            ("dec", "u32") => &MemoryLanes.Atomic<uint, Decrement, TSpace>,
            ("cas", "b32") => &MemoryLanes.CompareAndSwap<uint, TSpace>,
            ("cas", "b64") => &MemoryLanes.CompareAndSwap<ulong, TSpace>,
            _ => throw s.Unknown(),
        };

    private void ConvertAddress(InstructionText s)
    {
        s.Allow("to", "global", "shared", "local");
        s.Count(2);
        var window = Space(s) switch
        {
            "shared" => GroupRunner.SharedWindow,
            "local" => GroupRunner.LocalWindow,
            _ => 0UL,
        };
        Add(
            new()
            {
                Execute = &Lanes.Binary<Add<ulong>>,
                D = Destination(s, s.Operands[0]),
                A = Source(s, s.Operands[1], "b64"),
                B = Constant(s.Has("to") ? 0 - window : window),
            },
            s);
    }

    private void Barrier(InstructionText s)
    {
        if (s.Has("warp"))
        {
            s.Allow("warp", "sync");
            s.Count(1);
            Add(new() { Execute = &WarpLanes.Synchronize, Uniform = true, E = Source(s, s.Operands[0], "b32") }, s);
            return;
        }

        s.Allow("sync", "red", "cta", "aligned", "popc", "and", "or");
        if (!s.Has("sync") && !s.Has("red"))
        {
            throw s.Unknown();
        }

        var instruction = new Instruction { Kind = InstructionKind.Barrier };
        var at = 0;
        if (s.Has("red"))
        {
            at = 1;
            instruction.Reduction = s.Has("popc") ? BarrierReduction.PopulationCount : s.Has("and") ? BarrierReduction.And : BarrierReduction.Or;
            instruction.D = s.Has("popc") ? Destination(s, s.Operands[0]) : Predicate(s, s.Operands[0]);
            instruction.C = Predicate(s, s.Operands[^1], out var negated);
            instruction.Flip = negated ? uint.MaxValue : 0;
        }

        // Barriers of a part of the group would need the number of threads after the name of the barrier.
        s.Count(at == 0 ? 1 : 3);
        if (s.Operands[at].Kind != OperandKind.Literal)
        {
            throw s.Error("a barrier that is not named by a literal");
        }

        Add(instruction, s);
    }

    private void Shuffle(InstructionText s)
    {
        s.Allow("sync", "up", "down", "bfly", "idx");
        s.Count(5);
        if (!s.Has("sync"))
        {
            throw s.Unknown();
        }

        var (value, predicate) = s.Operands[0].Kind == OperandKind.Pair ? (s.Operands[0].Items[0], s.Operands[0].Items[1]) : (s.Operands[0], null);
        Add(
            new()
            {
                Execute = &WarpLanes.Shuffle,
                Uniform = true,
                Mode = (byte)(s.Has("up") ? ShuffleMode.Up : s.Has("down") ? ShuffleMode.Down : s.Has("bfly") ? ShuffleMode.Xor : ShuffleMode.Index),
                D = Destination(s, value),
                D1 = predicate == null ? 0 : Predicate(s, predicate),
                A = Source(s, s.Operands[1], "b32"),
                B = Source(s, s.Operands[2], "u32"),
                C = Source(s, s.Operands[3], "u32"),
                E = Source(s, s.Operands[4], "b32"),
            },
            s);
    }

    private void Vote(InstructionText s)
    {
        s.Allow("sync", "ballot", "all", "any", "uni");
        s.Count(3);
        if (!s.Has("sync"))
        {
            throw s.Unknown();
        }

        var ballot = s.Has("ballot");
        Add(
            new()
            {
                Execute = &WarpLanes.Vote,
                Uniform = true,
                Mode = (byte)(ballot ? 0 : s.Has("all") ? 1 : s.Has("any") ? 2 : 3),
                D = ballot ? Destination(s, s.Operands[0]) : Predicate(s, s.Operands[0]),
                C = Predicate(s, s.Operands[1], out var negated),
                Flip = negated ? uint.MaxValue : 0,
                E = Source(s, s.Operands[2], "b32"),
            },
            s);
    }

    private void Reduce(InstructionText s)
    {
        s.Allow("sync", "add", "min", "max", "and", "or", "xor");
        s.Count(3);
        Add(
            new()
            {
                Execute = (s.Modifiers.First(m => m != "sync"), s.Type) switch
                {
                    ("add", "u32" or "s32") => &WarpLanes.Reduce<Add<uint>>,
                    ("min", "u32") => &WarpLanes.Reduce<MinInteger<uint>>,
                    ("min", "s32") => &WarpLanes.Reduce<MinInteger<int>>,
                    ("max", "u32") => &WarpLanes.Reduce<MaxInteger<uint>>,
                    ("max", "s32") => &WarpLanes.Reduce<MaxInteger<int>>,
                    ("and", "b32") => &WarpLanes.Reduce<And>,
                    ("or", "b32") => &WarpLanes.Reduce<Or>,
                    ("xor", "b32") => &WarpLanes.Reduce<Xor>,
                    _ => throw s.Unknown(),
                },
                Uniform = true,
                D = Destination(s, s.Operands[0]),
                A = Source(s, s.Operands[1], s.Type),
                E = Source(s, s.Operands[2], "b32"),
            },
            s);
    }
}
