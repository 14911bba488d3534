using System.Numerics;

namespace EquiNorm.PtxMachine;

internal sealed unsafe partial class Decoder
{
    /// <summary>False for an instruction of another kind; throws for a form that the machine does not know.</summary>
    private bool TranslateArithmetic(InstructionText s)
    {
        switch (s.Head)
        {
            case "mov":
                Mov(s);
                return true;
            case "setp":
                SetPredicate(s);
                return true;
            case "selp":
                s.Allow();
                s.Count(4);
                Add(
                    new()
                    {
                        Execute = &Lanes.Select,
                        D = Destination(s, s.Operands[0]),
                        A = Source(s, s.Operands[1], s.Type),
                        B = Source(s, s.Operands[2], s.Type),
                        C = Predicate(s, s.Operands[3], out var negated),
                        Flip = negated ? uint.MaxValue : 0,
                    },
                    s);
                return true;
            case "and" or "or" or "xor" or "not" when s.Type == "pred":
                PredicateLogic(s);
                return true;
            case "cvt":
                Convert(s);
                return true;
            case "testp":
                TestProperty(s);
                return true;
            case "lop3":
                s.Allow();
                Add(
                    new()
                    {
                        Execute = &Lanes.Lop3,
                        D = Destination(s, s.Operands[0]),
                        A = Source(s, s.Operands[1], "b32"),
                        B = Source(s, s.Operands[2], "b32"),
                        C = Source(s, s.Operands[3], "b32"),
                        Immediate = (long)(Literals.Bits(s.Operands[4].Text, false, "b32") ?? throw s.Error("the table")),
                    },
                    s);
                return true;
            case "bfi":
                s.Allow();
                Add(
                    new()
                    {
                        Execute = s.Type switch { "b32" => &Lanes.BitFieldInsert<uint>, "b64" => &Lanes.BitFieldInsert<ulong>, _ => throw s.Unknown() },
                        D = Destination(s, s.Operands[0]),
                        A = Source(s, s.Operands[1], s.Type),
                        B = Source(s, s.Operands[2], s.Type),
                        C = Source(s, s.Operands[3], "u32"),
                        E = Source(s, s.Operands[4], "u32"),
                    },
                    s);
                return true;
        }

        var execute = Choose(s, out var sources, out var amountType);
        if (execute == null)
        {
            return false;
        }

        s.Count(sources + 1);
        var instruction = new Instruction
        {
            Execute = execute,
            D = Destination(s, s.Operands[0]),
            A = Source(s, s.Operands[1], s.Type),
        };
        if (sources > 1)
        {
            instruction.B = Source(s, s.Operands[2], sources == 2 ? amountType ?? s.Type : amountType ?? s.Type);
        }

        if (sources > 2)
        {
            instruction.C = Source(s, s.Operands[3], amountType ?? s.Type);
        }

        Add(instruction, s);
        return true;
    }

    /// <summary>The loop for an instruction whose operands are all registers or literals. (The last ones may be of amountType.)</summary>
    private static delegate*<Warp, Instruction*, uint, void> Choose(InstructionText s, out int sources, out string? amountType)
    {
        amountType = null;
        sources = 2;
        switch (s.Head)
        {
            case "add":
                s.Allow("rn", "ftz", "sat");
                if (s.Has("sat") && s.Type == "s32")
                {
                    return &Lanes.Binary<AddSaturated>;
                }

                return s.Type switch
                {
                    "u16" or "s16" => Plain(s, &Lanes.Binary<Add<ushort>>),
                    "u32" or "s32" => Plain(s, &Lanes.Binary<Add<uint>>),
                    "u64" or "s64" => Plain(s, &Lanes.Binary<Add<ulong>>),
                    "f32" => Float2<Add<float>>(s),
                    "f64" => Double(s, &Lanes.Binary<Add<double>>),
                    "f16" => Half2<Add<Half>>(s),
                    "f16x2" => Double(s, &Lanes.Binary<Halves2<Add<Half>>>),
                    _ => throw s.Unknown(),
                };
            case "sub":
                s.Allow("rn", "ftz", "sat");
                if (s.Has("sat") && s.Type == "s32")
                {
                    return &Lanes.Binary<SubSaturated>;
                }

                return s.Type switch
                {
                    "u16" or "s16" => Plain(s, &Lanes.Binary<Sub<ushort>>),
                    "u32" or "s32" => Plain(s, &Lanes.Binary<Sub<uint>>),
                    "u64" or "s64" => Plain(s, &Lanes.Binary<Sub<ulong>>),
                    "f32" => Float2<Sub<float>>(s),
                    "f64" => Double(s, &Lanes.Binary<Sub<double>>),
                    "f16" => Half2<Sub<Half>>(s),
                    "f16x2" => Double(s, &Lanes.Binary<Halves2<Sub<Half>>>),
                    _ => throw s.Unknown(),
                };
            case "mul":
                return Multiply(s);
            case "mad" or "fma":
                sources = 3;
                return MultiplyAdd(s, out amountType);
            case "div":
                s.Allow("rn", "full", "approx", "ftz");
                return s.Type switch
                {
                    "u16" => Plain(s, &Lanes.Binary<DivInteger<ushort>>),
                    "s16" => Plain(s, &Lanes.Binary<DivInteger<short>>),
                    "u32" => Plain(s, &Lanes.Binary<DivInteger<uint>>),
                    "s32" => Plain(s, &Lanes.Binary<DivInteger<int>>),
                    "u64" => Plain(s, &Lanes.Binary<DivInteger<ulong>>),
                    "s64" => Plain(s, &Lanes.Binary<DivInteger<long>>),
                    "f32" => Float2<DivFloat<float>>(s),
                    "f64" => Double(s, &Lanes.Binary<DivFloat<double>>),
                    _ => throw s.Unknown(),
                };
            case "rem":
                s.Allow();
                return s.Type switch
                {
                    "u16" => &Lanes.Binary<Rem<ushort>>,
                    "s16" => &Lanes.Binary<Rem<short>>,
                    "u32" => &Lanes.Binary<Rem<uint>>,
                    "s32" => &Lanes.Binary<Rem<int>>,
                    "u64" => &Lanes.Binary<Rem<ulong>>,
                    "s64" => &Lanes.Binary<Rem<long>>,
                    _ => throw s.Unknown(),
                };
            case "min":
                s.Allow("ftz", "NaN");
                return s.Type switch
                {
                    "u16" => Plain(s, &Lanes.Binary<MinInteger<ushort>>),
                    "s16" => Plain(s, &Lanes.Binary<MinInteger<short>>),
                    "u32" => Plain(s, &Lanes.Binary<MinInteger<uint>>),
                    "s32" => Plain(s, &Lanes.Binary<MinInteger<int>>),
                    "u64" => Plain(s, &Lanes.Binary<MinInteger<ulong>>),
                    "s64" => Plain(s, &Lanes.Binary<MinInteger<long>>),
                    "f32" => s.Has("NaN") ? Float2<MinNaN<float>>(s) : Float2<MinFloat<float>>(s),
                    "f64" => Double(s, &Lanes.Binary<MinFloat<double>>),
                    "f16" => s.Has("NaN") ? Half2<MinNaN<Half>>(s) : Half2<MinFloat<Half>>(s),
                    _ => throw s.Unknown(),
                };
            case "max":
                s.Allow("ftz", "NaN");
                return s.Type switch
                {
                    "u16" => Plain(s, &Lanes.Binary<MaxInteger<ushort>>),
                    "s16" => Plain(s, &Lanes.Binary<MaxInteger<short>>),
                    "u32" => Plain(s, &Lanes.Binary<MaxInteger<uint>>),
                    "s32" => Plain(s, &Lanes.Binary<MaxInteger<int>>),
                    "u64" => Plain(s, &Lanes.Binary<MaxInteger<ulong>>),
                    "s64" => Plain(s, &Lanes.Binary<MaxInteger<long>>),
                    "f32" => s.Has("NaN") ? Float2<MaxNaN<float>>(s) : Float2<MaxFloat<float>>(s),
                    "f64" => Double(s, &Lanes.Binary<MaxFloat<double>>),
                    "f16" => s.Has("NaN") ? Half2<MaxNaN<Half>>(s) : Half2<MaxFloat<Half>>(s),
                    _ => throw s.Unknown(),
                };
            case "copysign":
                s.Allow();
                return s.Type switch
                {
                    "f32" => &Lanes.Binary<CopySign<float>>,
                    "f64" => &Lanes.Binary<CopySign<double>>,
                    _ => throw s.Unknown(),
                };
            case "and":
                s.Allow();
                return &Lanes.Binary<And>;
            case "or":
                s.Allow();
                return &Lanes.Binary<Or>;
            case "xor":
                s.Allow();
                return &Lanes.Binary<Xor>;
            case "shl":
                s.Allow();
                amountType = "u32";
                return s.Type switch
                {
                    "b16" => &Lanes.Binary<ShiftLeft<ushort>>,
                    "b32" => &Lanes.Binary<ShiftLeft<uint>>,
                    "b64" => &Lanes.Binary<ShiftLeft<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "shr":
                s.Allow();
                amountType = "u32";
                return s.Type switch
                {
                    "b16" or "u16" => &Lanes.Binary<ShiftRight<ushort>>,
                    "s16" => &Lanes.Binary<ShiftRight<short>>,
                    "b32" or "u32" => &Lanes.Binary<ShiftRight<uint>>,
                    "s32" => &Lanes.Binary<ShiftRight<int>>,
                    "b64" or "u64" => &Lanes.Binary<ShiftRight<ulong>>,
                    "s64" => &Lanes.Binary<ShiftRight<long>>,
                    _ => throw s.Unknown(),
                };
            case "shf":
                s.Allow("l", "r", "wrap", "clamp");
                sources = 3;
                return (s.Has("l"), s.Has("wrap")) switch
                {
                    (true, true) => &Lanes.Ternary<FunnelLeftWrap>,
                    (true, false) => &Lanes.Ternary<FunnelLeftClamp>,
                    (false, true) => &Lanes.Ternary<FunnelRightWrap>,
                    (false, false) => &Lanes.Ternary<FunnelRightClamp>,
                };
            case "prmt":
                s.Allow();
                sources = 3;
                return &Lanes.Ternary<Permute>;
            case "sad":
                s.Allow();
                sources = 3;
                return s.Type switch
                {
                    "u16" => &Lanes.Ternary<SumOfDifferences<ushort>>,
                    "s16" => &Lanes.Ternary<SumOfDifferences<short>>,
                    "u32" => &Lanes.Ternary<SumOfDifferences<uint>>,
                    "s32" => &Lanes.Ternary<SumOfDifferences<int>>,
                    "u64" => &Lanes.Ternary<SumOfDifferences<ulong>>,
                    "s64" => &Lanes.Ternary<SumOfDifferences<long>>,
                    _ => throw s.Unknown(),
                };
            case "bfe":
                s.Allow();
                sources = 3;
                amountType = "u32";
                return s.Type switch
                {
                    "u32" => &Lanes.Ternary<BitFieldExtract<uint>>,
                    "s32" => &Lanes.Ternary<BitFieldExtract<int>>,
                    "u64" => &Lanes.Ternary<BitFieldExtract<ulong>>,
                    "s64" => &Lanes.Ternary<BitFieldExtract<long>>,
                    _ => throw s.Unknown(),
                };
        }

        sources = 1;
        return ChooseUnary(s);
    }

    private static delegate*<Warp, Instruction*, uint, void> ChooseUnary(InstructionText s)
    {
        switch (s.Head)
        {
            case "abs":
                s.Allow("ftz");
                return s.Type switch
                {
                    "s16" => Plain(s, &Lanes.Unary<AbsInteger<short>>),
                    "s32" => Plain(s, &Lanes.Unary<AbsInteger<int>>),
                    "s64" => Plain(s, &Lanes.Unary<AbsInteger<long>>),
                    "f32" => Float1<AbsFloat<float>>(s),
                    "f64" => &Lanes.Unary<AbsFloat<double>>,
                    "f16" => &Lanes.Unary<AbsFloat<Half>>,
                    _ => throw s.Unknown(),
                };
            case "neg":
                s.Allow("ftz");
                return s.Type switch
                {
                    "s16" => Plain(s, &Lanes.Unary<NegInteger<short>>),
                    "s32" => Plain(s, &Lanes.Unary<NegInteger<int>>),
                    "s64" => Plain(s, &Lanes.Unary<NegInteger<long>>),
                    "f32" => Float1<NegFloat<float>>(s),
                    "f64" => &Lanes.Unary<NegFloat<double>>,
                    "f16" => &Lanes.Unary<NegFloat<Half>>,
                    _ => throw s.Unknown(),
                };
            case "not":
                s.Allow();
                return s.Type switch
                {
                    "b16" => &Lanes.Unary<Not<ushort>>,
                    "b32" => &Lanes.Unary<Not<uint>>,
                    "b64" => &Lanes.Unary<Not<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "cnot":
                s.Allow();
                return s.Type switch
                {
                    "b16" => &Lanes.Unary<LogicalNot<ushort>>,
                    "b32" => &Lanes.Unary<LogicalNot<uint>>,
                    "b64" => &Lanes.Unary<LogicalNot<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "popc":
                s.Allow();
                return s.Type switch
                {
                    "b32" => &Lanes.Unary<PopulationCount<uint>>,
                    "b64" => &Lanes.Unary<PopulationCount<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "clz":
                s.Allow();
                return s.Type switch
                {
                    "b32" => &Lanes.Unary<LeadingZeros<uint>>,
                    "b64" => &Lanes.Unary<LeadingZeros<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "brev":
                s.Allow();
                return s.Type switch
                {
                    "b32" => &Lanes.Unary<ReverseBits<uint>>,
                    "b64" => &Lanes.Unary<ReverseBits<ulong>>,
                    _ => throw s.Unknown(),
                };
            case "bfind":
                s.Allow();
                return s.Type switch
                {
                    "u32" => &Lanes.Unary<FindBit<uint>>,
                    "s32" => &Lanes.Unary<FindBit<int>>,
                    "u64" => &Lanes.Unary<FindBit<ulong>>,
                    "s64" => &Lanes.Unary<FindBit<long>>,
                    _ => throw s.Unknown(),
                };
            case "rcp":
                s.Allow("rn", "approx", "ftz");
                return s.Type switch
                {
                    "f32" => Float1<Rcp<float>>(s),
                    "f64" => &Lanes.Unary<Rcp<double>>,
                    _ => throw s.Unknown(),
                };
            case "sqrt":
                s.Allow("rn", "approx", "ftz");
                return s.Type switch
                {
                    "f32" => Float1<Sqrt<float>>(s),
                    "f64" => &Lanes.Unary<Sqrt<double>>,
                    _ => throw s.Unknown(),
                };
            case "rsqrt":
                s.Allow("approx", "ftz");
                return s.Type switch
                {
                    "f32" => Float1<Rsqrt<float>>(s),
                    "f64" => &Lanes.Unary<Rsqrt<double>>,
                    _ => throw s.Unknown(),
                };
            case "ex2" when s.Type == "f32":
                s.Allow("approx", "ftz");
                return Float1<Exp2>(s);
            case "lg2" when s.Type == "f32":
                s.Allow("approx", "ftz");
                return Float1<Log2>(s);
            case "sin" when s.Type == "f32":
                s.Allow("approx", "ftz");
                return Float1<Sin>(s);
            case "cos" when s.Type == "f32":
                s.Allow("approx", "ftz");
                return Float1<Cos>(s);
            case "tanh" when s.Type == "f32":
                s.Allow("approx");
                return Float1<Tanh>(s);
            default:
                return null;
        }
    }

    private static delegate*<Warp, Instruction*, uint, void> Multiply(InstructionText s)
    {
        s.Allow("lo", "hi", "wide", "rn", "ftz", "sat");
        switch (s.Type)
        {
            case "f32":
                return Float2<Mul<float>>(s);
            case "f64":
                return Double(s, &Lanes.Binary<Mul<double>>);
            case "f16":
                return Half2<Mul<Half>>(s);
            case "f16x2":
                return Double(s, &Lanes.Binary<Halves2<Mul<Half>>>);
        }

        return (s.Type, s.Has("lo") ? "lo" : s.Has("hi") ? "hi" : s.Has("wide") ? "wide" : "") switch
        {
            ("u16" or "s16", "lo") => Plain(s, &Lanes.Binary<Mul<ushort>>),
            ("u32" or "s32", "lo") => Plain(s, &Lanes.Binary<Mul<uint>>),
            ("u64" or "s64", "lo") => Plain(s, &Lanes.Binary<Mul<ulong>>),
            ("u16", "hi") => Plain(s, &Lanes.Binary<MulHi<ushort>>),
            ("s16", "hi") => Plain(s, &Lanes.Binary<MulHi<short>>),
            ("u32", "hi") => Plain(s, &Lanes.Binary<MulHi<uint>>),
            ("s32", "hi") => Plain(s, &Lanes.Binary<MulHi<int>>),
            ("u64", "hi") => Plain(s, &Lanes.Binary<MulHi<ulong>>),
            ("s64", "hi") => Plain(s, &Lanes.Binary<MulHi<long>>),
            ("u16", "wide") => Plain(s, &Lanes.Binary<MulWide<ushort>>),
            ("s16", "wide") => Plain(s, &Lanes.Binary<MulWide<short>>),
            ("u32", "wide") => Plain(s, &Lanes.Binary<MulWide<uint>>),
            ("s32", "wide") => Plain(s, &Lanes.Binary<MulWide<int>>),
            _ => throw s.Unknown(),
        };
    }

    private static delegate*<Warp, Instruction*, uint, void> MultiplyAdd(InstructionText s, out string? amountType)
    {
        s.Allow("lo", "hi", "wide", "rn", "ftz", "sat");
        amountType = null;
        switch (s.Type)
        {
            case "f32" when s.Has("rn"):
                return Float3<Fma<float>>(s);
            case "f64" when s.Has("rn"):
                return Double(s, &Lanes.Ternary<Fma<double>>);
            case "f16" when s.Has("rn"):
                return s.Has("ftz") ? throw s.Unknown() : s.Has("sat") ? &Lanes.Ternary<Saturate3<Half, Fma<Half>>> : &Lanes.Ternary<Fma<Half>>;
            case "f16x2" when s.Has("rn"):
                return Double(s, &Lanes.Ternary<Halves3<Fma<Half>>>);
        }

        return (s.Type, s.Has("lo") ? "lo" : s.Has("hi") ? "hi" : s.Has("wide") ? "wide" : "") switch
        {
            ("u16" or "s16", "lo") => Plain(s, &Lanes.Ternary<MadLo<ushort>>),
            ("u32" or "s32", "lo") => Plain(s, &Lanes.Ternary<MadLo<uint>>),
            ("u64" or "s64", "lo") => Plain(s, &Lanes.Ternary<MadLo<ulong>>),
            ("u16", "hi") => Plain(s, &Lanes.Ternary<MadHi<ushort>>),
            ("s16", "hi") => Plain(s, &Lanes.Ternary<MadHi<short>>),
            ("u32", "hi") => Plain(s, &Lanes.Ternary<MadHi<uint>>),
            ("s32", "hi") => Plain(s, &Lanes.Ternary<MadHi<int>>),
            ("u64", "hi") => Plain(s, &Lanes.Ternary<MadHi<ulong>>),
            ("s64", "hi") => Plain(s, &Lanes.Ternary<MadHi<long>>),
            ("u16", "wide") => Plain(s, &Lanes.Ternary<MadWide<ushort>>),
            ("s16", "wide") => Plain(s, &Lanes.Ternary<MadWide<short>>),
            ("u32", "wide") => Plain(s, &Lanes.Ternary<MadWide<uint>>),
            ("s32", "wide") => Plain(s, &Lanes.Ternary<MadWide<int>>),
            _ => throw s.Unknown(),
        };
    }

    /// <summary>Integers know no rounding and no flushing.</summary>
    private static delegate*<Warp, Instruction*, uint, void> Plain(InstructionText s, delegate*<Warp, Instruction*, uint, void> execute) =>
        s.Has("ftz") || s.Has("sat") || s.Has("rn") || s.Has("NaN") || s.Has("approx") || s.Has("full") ? throw s.Unknown() : execute;

    private static delegate*<Warp, Instruction*, uint, void> Double(InstructionText s, delegate*<Warp, Instruction*, uint, void> execute) =>
        s.Has("ftz") || s.Has("sat") || s.Has("NaN") || s.Has("approx") || s.Has("full") ? throw s.Unknown() : execute;

    private static delegate*<Warp, Instruction*, uint, void> Half2<TOp>(InstructionText s)
        where TOp : struct, IBinary =>
        s.Has("ftz") ? throw s.Unknown() : s.Has("sat") ? &Lanes.Binary<Saturate2<Half, TOp>> : &Lanes.Binary<TOp>;

    private static delegate*<Warp, Instruction*, uint, void> Float1<TOp>(InstructionText s)
        where TOp : struct, IUnary => s.Has("ftz") ? &Lanes.Unary<Flush1<TOp>> : &Lanes.Unary<TOp>;

    private static delegate*<Warp, Instruction*, uint, void> Float2<TOp>(InstructionText s)
        where TOp : struct, IBinary => (s.Has("ftz"), s.Has("sat")) switch
        {
            (false, false) => &Lanes.Binary<TOp>,
            (true, false) => &Lanes.Binary<Flush2<TOp>>,
            (false, true) => &Lanes.Binary<Saturate2<float, TOp>>,
            (true, true) => &Lanes.Binary<Saturate2<float, Flush2<TOp>>>,
        };

    private static delegate*<Warp, Instruction*, uint, void> Float3<TOp>(InstructionText s)
        where TOp : struct, ITernary => (s.Has("ftz"), s.Has("sat")) switch
        {
            (false, false) => &Lanes.Ternary<TOp>,
            (true, false) => &Lanes.Ternary<Flush3<TOp>>,
            (false, true) => &Lanes.Ternary<Saturate3<float, TOp>>,
            (true, true) => &Lanes.Ternary<Saturate3<float, Flush3<TOp>>>,
        };

    private void Mov(InstructionText s)
    {
        s.Allow();
        s.Count(2);
        var (to, from) = (s.Operands[0], s.Operands[1]);
        if (s.Type == "pred")
        {
            Add(
                new()
                {
                    Execute = &Lanes.PredicateLogic,
                    D = Predicate(s, to),
                    A = Predicate(s, from, out var negated),
                    Bytes = negated ? 1 : 0,
                },
                s);
            return;
        }

        var size = PtxSyntax.SizeOf(s.Type, s.Line);
        if (from.Kind == OperandKind.Vector || to.Kind == OperandKind.Vector)
        {
            var packs = from.Kind == OperandKind.Vector;
            var parts = packs ? from.Items : to.Items;
            if (parts.Count is not (2 or 4) || size < 4 || size / parts.Count < 2)
            {
                throw s.Error($"{parts.Count} parts");
            }

            var type = size / parts.Count == 4 ? "b32" : "b16";
            var instruction = new Instruction
            {
                Execute = packs ? &Lanes.Pack : &Lanes.Unpack,
                Mode = (byte)(size * 8 / parts.Count),
                Bytes = parts.Count,
            };
            if (packs)
            {
                instruction.D = Destination(s, to);
                instruction.A = Source(s, parts[0], type);
                instruction.B = Source(s, parts[1], type);
                instruction.C = parts.Count > 2 ? Source(s, parts[2], type) : 0;
                instruction.E = parts.Count > 2 ? Source(s, parts[3], type) : 0;
            }
            else
            {
                instruction.A = Source(s, from, s.Type);
                instruction.D = Destination(s, parts[0]);
                instruction.D1 = Destination(s, parts[1]);
                instruction.D2 = parts.Count > 2 ? Destination(s, parts[2]) : 0;
                instruction.D3 = parts.Count > 2 ? Destination(s, parts[3]) : 0;
                if (Array.IndexOf([instruction.D, instruction.D1, instruction.D2, instruction.D3], instruction.A) >= 0)
                {
                    throw s.Error("the register as source and as destination");
                }
            }

            Add(instruction, s);
            return;
        }

        Add(
            new()
            {
                Execute = size switch
                {
                    1 => &Lanes.Unary<Move<byte>>,
                    2 => &Lanes.Unary<Move<ushort>>,
                    4 => &Lanes.Unary<Move<uint>>,
                    _ => &Lanes.Unary<Move<ulong>>,
                },
                D = Destination(s, to),
                A = Source(s, from, s.Type),
            },
            s);
    }

    private void PredicateLogic(InstructionText s)
    {
        s.Allow();
        s.Count(s.Head == "not" ? 2 : 3);
        var a = Predicate(s, s.Operands[1], out var negatedA);
        var negatedB = false;
        var b = s.Head == "not" ? 0 : Predicate(s, s.Operands[2], out negatedB);
        Add(
            new()
            {
                Execute = &Lanes.PredicateLogic,
                D = Predicate(s, s.Operands[0]),
                A = a,
                B = b,
                Bytes = (negatedA ? 1 : 0) | (negatedB ? 2 : 0),
                Mode = s.Head switch { "and" => 1, "or" => 2, "xor" => 3, _ => 4 },
            },
            s);
    }

    private void SetPredicate(InstructionText s)
    {
        var comparison = s.Modifiers.First();
        var combine = s.Has("and") ? 1 : s.Has("or") ? 2 : s.Has("xor") ? 3 : 0;
        s.Allow(comparison, "and", "or", "xor", "ftz");
        s.Count(combine > 0 ? 4 : 3);
        var (first, second) = s.Operands[0].Kind == OperandKind.Pair ? (s.Operands[0].Items[0], s.Operands[0].Items[1]) : (s.Operands[0], null);
        var other = 0;
        var negated = false;
        if (combine > 0)
        {
            other = Predicate(s, s.Operands[3], out negated);
        }
        else if (second != null)
        {
            // The complement needs the general form: and with true.
            combine = 1;
        }

        delegate*<Warp, Instruction*, uint, void> execute = s.Type switch
        {
            "b16" or "u16" => CompareInteger<ushort>(s, comparison),
            "s16" => CompareInteger<short>(s, comparison),
            "b32" or "u32" => CompareInteger<uint>(s, comparison),
            "s32" => CompareInteger<int>(s, comparison),
            "b64" or "u64" => CompareInteger<ulong>(s, comparison),
            "s64" => CompareInteger<long>(s, comparison),
            "f16" => CompareFloat<Half>(s, comparison),
            "f32" => s.Has("ftz") ? CompareFlushed(s, comparison) : CompareFloat<float>(s, comparison),
            "f64" => CompareFloat<double>(s, comparison),
            _ => throw s.Unknown(),
        };
        Add(
            new()
            {
                Execute = execute,
                D = Predicate(s, first),
                D1 = second == null || second.Text == "_" ? 0 : Predicate(s, second),
                A = Source(s, s.Operands[1], s.Type),
                B = Source(s, s.Operands[2], s.Type),
                C = other,
                Flip = negated ? uint.MaxValue : 0,
                Mode = (byte)combine,
            },
            s);
    }

    private static delegate*<Warp, Instruction*, uint, void> CompareInteger<T>(InstructionText s, string comparison)
        where T : unmanaged, INumber<T> => comparison switch
        {
            "eq" => &Lanes.Compare<Equal<T>>,
            "ne" => &Lanes.Compare<NotEqual<T>>,
            "lt" or "lo" => &Lanes.Compare<Less<T>>,
            "le" or "ls" => &Lanes.Compare<LessOrEqual<T>>,
            "gt" or "hi" => &Lanes.Compare<Greater<T>>,
            "ge" or "hs" => &Lanes.Compare<GreaterOrEqual<T>>,
            _ => throw s.Unknown(),
        };

    private static delegate*<Warp, Instruction*, uint, void> CompareFloat<T>(InstructionText s, string comparison)
        where T : unmanaged, INumber<T> => comparison switch
        {
            "eq" => &Lanes.Compare<Equal<T>>,
            "ne" => &Lanes.Compare<NotEqual<T>>,
            "lt" => &Lanes.Compare<Less<T>>,
            "le" => &Lanes.Compare<LessOrEqual<T>>,
            "gt" => &Lanes.Compare<Greater<T>>,
            "ge" => &Lanes.Compare<GreaterOrEqual<T>>,
            "equ" => &Lanes.Compare<Negation<NotEqual<T>>>,
            "neu" => &Lanes.Compare<Negation<Equal<T>>>,
            "ltu" => &Lanes.Compare<Negation<GreaterOrEqual<T>>>,
            "leu" => &Lanes.Compare<Negation<Greater<T>>>,
            "gtu" => &Lanes.Compare<Negation<LessOrEqual<T>>>,
            "geu" => &Lanes.Compare<Negation<Less<T>>>,
            "num" => &Lanes.Compare<Ordered<T>>,
            "nan" => &Lanes.Compare<Negation<Ordered<T>>>,
            _ => throw s.Unknown(),
        };

    private static delegate*<Warp, Instruction*, uint, void> CompareFlushed(InstructionText s, string comparison) => comparison switch
    {
        "eq" => &Lanes.Compare<FlushCompare<Equal<float>>>,
        "ne" => &Lanes.Compare<FlushCompare<NotEqual<float>>>,
        "lt" => &Lanes.Compare<FlushCompare<Less<float>>>,
        "le" => &Lanes.Compare<FlushCompare<LessOrEqual<float>>>,
        "gt" => &Lanes.Compare<FlushCompare<Greater<float>>>,
        "ge" => &Lanes.Compare<FlushCompare<GreaterOrEqual<float>>>,
        "equ" => &Lanes.Compare<FlushCompare<Negation<NotEqual<float>>>>,
        "neu" => &Lanes.Compare<FlushCompare<Negation<Equal<float>>>>,
        "ltu" => &Lanes.Compare<FlushCompare<Negation<GreaterOrEqual<float>>>>,
        "leu" => &Lanes.Compare<FlushCompare<Negation<Greater<float>>>>,
        "gtu" => &Lanes.Compare<FlushCompare<Negation<LessOrEqual<float>>>>,
        "geu" => &Lanes.Compare<FlushCompare<Negation<Less<float>>>>,
        "num" => &Lanes.Compare<FlushCompare<Ordered<float>>>,
        "nan" => &Lanes.Compare<FlushCompare<Negation<Ordered<float>>>>,
        _ => throw s.Unknown(),
    };

    private void TestProperty(InstructionText s)
    {
        var property = s.Modifiers.First();
        s.Allow(property);
        s.Count(2);
        var a = Source(s, s.Operands[1], s.Type);
        Add(
            new()
            {
                Execute = s.Type switch
                {
                    "f32" => Property<float>(s, property),
                    "f64" => Property<double>(s, property),
                    _ => throw s.Unknown(),
                },
                D = Predicate(s, s.Operands[0]),
                A = a,
                B = a,
            },
            s);
    }

    private static delegate*<Warp, Instruction*, uint, void> Property<T>(InstructionText s, string property)
        where T : unmanaged, INumber<T> => property switch
        {
            "finite" => &Lanes.Compare<IsFinite<T>>,
            "infinite" => &Lanes.Compare<IsInfinite<T>>,
            "number" => &Lanes.Compare<Negation<IsNotANumber<T>>>,
            "notanumber" => &Lanes.Compare<IsNotANumber<T>>,
            "normal" => &Lanes.Compare<IsNormal<T>>,
            "subnormal" => &Lanes.Compare<IsSubnormal<T>>,
            _ => throw s.Unknown(),
        };

    private void Convert(InstructionText s)
    {
        s.Allow("rn", "rz", "rm", "rp", "rni", "rzi", "rmi", "rpi", "ftz", "sat");
        if (s.Types.Length != 2)
        {
            throw s.Unknown();
        }

        var (to, from) = (s.Types[0], s.Types[1]);
        if (to is "bf16x2" or "f16x2")
        {
            s.Count(3);
            if (from != "f32" || !s.Has("rn") || s.Has("ftz") || s.Has("sat"))
            {
                throw s.Unknown();
            }

            Add(
                new()
                {
                    Execute = to == "bf16x2" ? &Lanes.Binary<FloatsToBrains> : &Lanes.Binary<FloatsToHalves>,
                    D = Destination(s, s.Operands[0]),
                    A = Source(s, s.Operands[1], "f32"),
                    B = Source(s, s.Operands[2], "f32"),
                },
                s);
            return;
        }

        s.Count(2);
        Add(
            new()
            {
                Execute = Conversion(s, to, from),
                D = Destination(s, s.Operands[0]),
                A = Source(s, s.Operands[1], from),
            },
            s);
    }

    private static delegate*<Warp, Instruction*, uint, void> Conversion(InstructionText s, string to, string from)
    {
        if (to == "bf16" || from == "bf16")
        {
            return (to, from) switch
            {
                ("bf16", "f32") when s.Has("rn") => &Lanes.Unary<FloatToBrain>,
                ("f32", "bf16") => &Lanes.Unary<BrainToFloat>,
                _ => throw s.Unknown(),
            };
        }

        return to switch
        {
            "u8" => FromAny.ToInteger<byte>(s, from),
            "s8" => FromAny.ToInteger<sbyte>(s, from),
            "u16" => FromAny.ToInteger<ushort>(s, from),
            "s16" => FromAny.ToInteger<short>(s, from),
            "u32" => FromAny.ToInteger<uint>(s, from),
            "s32" => FromAny.ToInteger<int>(s, from),
            "u64" => FromAny.ToInteger<ulong>(s, from),
            "s64" => FromAny.ToInteger<long>(s, from),
            "f16" => FromAny.ToFloat<Half>(s, from),
            "f32" => FromAny.ToFloat<float>(s, from),
            "f64" => FromAny.ToFloat<double>(s, from),
            _ => throw s.Unknown(),
        };
    }

    /// <summary>The conversions to one type.</summary>
    private static class FromAny
    {
        public static delegate*<Warp, Instruction*, uint, void> ToInteger<TTo>(InstructionText s, string from)
            where TTo : unmanaged, IBinaryInteger<TTo> => from switch
            {
                "u8" => Between<TTo, byte>(s),
                "s8" => Between<TTo, sbyte>(s),
                "u16" => Between<TTo, ushort>(s),
                "s16" => Between<TTo, short>(s),
                "u32" => Between<TTo, uint>(s),
                "s32" => Between<TTo, int>(s),
                "u64" => Between<TTo, ulong>(s),
                "s64" => Between<TTo, long>(s),
                "f16" => Rounded<TTo, Half>(s),
                "f32" => Rounded<TTo, float>(s),
                "f64" => Rounded<TTo, double>(s),
                _ => throw s.Unknown(),
            };

        public static delegate*<Warp, Instruction*, uint, void> ToFloat<TTo>(InstructionText s, string from)
            where TTo : unmanaged, IFloatingPointIeee754<TTo> => from switch
            {
                "u8" => FromInteger<TTo, byte>(s),
                "s8" => FromInteger<TTo, sbyte>(s),
                "u16" => FromInteger<TTo, ushort>(s),
                "s16" => FromInteger<TTo, short>(s),
                "u32" => FromInteger<TTo, uint>(s),
                "s32" => FromInteger<TTo, int>(s),
                "u64" => FromInteger<TTo, ulong>(s),
                "s64" => FromInteger<TTo, long>(s),
                "f16" => FromFloat<TTo, Half>(s),
                "f32" => FromFloat<TTo, float>(s),
                "f64" => FromFloat<TTo, double>(s),
                _ => throw s.Unknown(),
            };

        private static delegate*<Warp, Instruction*, uint, void> Between<TTo, TFrom>(InstructionText s)
            where TTo : unmanaged, IBinaryInteger<TTo>
            where TFrom : unmanaged, IBinaryInteger<TFrom> =>
            s.Modifiers.Any(m => m is "ftz" || m.StartsWith('r')) ? throw s.Unknown()
            : s.Has("sat") ? &Lanes.Unary<IntegerToIntegerSaturated<TTo, TFrom>>
            : &Lanes.Unary<IntegerToInteger<TTo, TFrom>>;

        private static delegate*<Warp, Instruction*, uint, void> Rounded<TTo, TFrom>(InstructionText s)
            where TTo : unmanaged, IBinaryInteger<TTo>
            where TFrom : unmanaged, IFloatingPointIeee754<TFrom>
        {
            // .sat changes nothing: these conversions saturate anyway. Nor does .ftz where the result is not rounded away from zero.
            if (s.Has("ftz") && (s.Has("rmi") || s.Has("rpi")))
            {
                throw s.Unknown();
            }

            return s.Has("rni") ? &Lanes.Unary<FloatToInteger<TTo, TFrom, Nearest>>
                : s.Has("rzi") ? &Lanes.Unary<FloatToInteger<TTo, TFrom, TowardZero>>
                : s.Has("rmi") ? &Lanes.Unary<FloatToInteger<TTo, TFrom, Downward>>
                : s.Has("rpi") ? &Lanes.Unary<FloatToInteger<TTo, TFrom, Upward>>
                : throw s.Unknown();
        }

        private static delegate*<Warp, Instruction*, uint, void> FromInteger<TTo, TFrom>(InstructionText s)
            where TTo : unmanaged, IFloatingPointIeee754<TTo>
            where TFrom : unmanaged, IBinaryInteger<TFrom> =>
            s.Has("sat") || s.Has("ftz") ? throw s.Unknown()
            : s.Has("rn") ? &Lanes.Unary<IntegerToFloat<TTo, TFrom, Nearest>>
            : s.Has("rz") ? &Lanes.Unary<IntegerToFloat<TTo, TFrom, TowardZero>>
            : s.Has("rm") ? &Lanes.Unary<IntegerToFloat<TTo, TFrom, Downward>>
            : s.Has("rp") ? &Lanes.Unary<IntegerToFloat<TTo, TFrom, Upward>>
            : throw s.Unknown();

        private static delegate*<Warp, Instruction*, uint, void> FromFloat<TTo, TFrom>(InstructionText s)
            where TTo : unmanaged, IFloatingPointIeee754<TTo>
            where TFrom : unmanaged, IFloatingPointIeee754<TFrom>
        {
            if (typeof(TTo) == typeof(TFrom))
            {
                return s.Has("rni") ? Finished<TTo, ToIntegral<TTo, Nearest>>(s)
                    : s.Has("rzi") ? Finished<TTo, ToIntegral<TTo, TowardZero>>(s)
                    : s.Has("rmi") ? Finished<TTo, ToIntegral<TTo, Downward>>(s)
                    : s.Has("rpi") ? Finished<TTo, ToIntegral<TTo, Upward>>(s)
                    : s.Has("rn") || s.Has("rz") || s.Has("rm") || s.Has("rp") ? throw s.Unknown()
                    : Finished<TTo, Move<TTo>>(s);
            }

            // A wider type holds the value as it is and takes no rounding.
            var widens = sizeof(TTo) > sizeof(TFrom);
            return widens || s.Has("rn") ? Finished<TTo, FloatToFloat<TTo, TFrom, Nearest>>(s)
                : s.Has("rz") ? Finished<TTo, FloatToFloat<TTo, TFrom, TowardZero>>(s)
                : s.Has("rm") ? Finished<TTo, FloatToFloat<TTo, TFrom, Downward>>(s)
                : s.Has("rp") ? Finished<TTo, FloatToFloat<TTo, TFrom, Upward>>(s)
                : throw s.Unknown();
        }

        private static delegate*<Warp, Instruction*, uint, void> Finished<T, TOp>(InstructionText s)
            where T : unmanaged, IFloatingPointIeee754<T>
            where TOp : struct, IUnary =>
            s.Has("ftz")
                ? s.Types is ["f32", "f32"] ? s.Has("sat") ? throw s.Unknown() : &Lanes.Unary<Flush1<TOp>>
                : s.Types is [_, "f32"] ? s.Has("sat") ? throw s.Unknown() : &Lanes.Unary<FlushInput<TOp>>
                : s.Types is ["f32", _] ? s.Has("sat") ? throw s.Unknown() : &Lanes.Unary<FlushResult<TOp>>
                : throw s.Unknown()
            : s.Has("sat") ? &Lanes.Unary<Saturate1<T, TOp>>
            : &Lanes.Unary<TOp>;
    }
}
