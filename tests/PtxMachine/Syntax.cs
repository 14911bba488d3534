// PTX text into statements. Nothing here knows what an instruction means.
namespace EquiNorm.PtxMachine;

internal enum OperandKind
{
    /// <summary>A register, a special register, a variable or a label.</summary>
    Name,

    /// <summary>A literal; its meaning depends on the type of the instruction.</summary>
    Literal,

    /// <summary>[base + offset].</summary>
    Address,

    /// <summary>{a, b, c, d}.</summary>
    Vector,

    /// <summary>(a, b): the lists of a call.</summary>
    List,

    /// <summary>p|q: the two results of setp or shfl.</summary>
    Pair,
}

internal sealed class Operand
{
    public required OperandKind Kind { get; init; }

    /// <summary>The name, or the literal without its sign; in an address the base.</summary>
    public string Text { get; init; } = "";

    /// <summary>The literal has a minus sign; before a predicate: it is negated.</summary>
    public bool Negated { get; init; }

    public long Offset { get; init; }

    public List<Operand> Items { get; init; } = [];
}

internal abstract record Statement(int Line);

internal sealed record LabelStatement(int Line, string Name) : Statement(Line);

internal sealed record ScopeStatement(int Line, bool Opens) : Statement(Line);

internal sealed record RegisterStatement(int Line, string Type, string Name, int Count) : Statement(Line);

/// <summary>.local, .shared or .param inside a body.</summary>
internal sealed record VariableStatement(int Line, string Space, VariableSyntax Variable) : Statement(Line);

internal sealed record BranchTargetsStatement(int Line, List<string> Labels) : Statement(Line);

internal sealed record InstructionStatement(int Line, string? Guard, bool GuardNegated, string Opcode, List<Operand> Operands) : Statement(Line);

/// <param name="Bytes">-1: an array without a size, whose size the launch gives.</param>
internal sealed record VariableSyntax(string Name, string Type, int Alignment, int Bytes);

internal sealed class FunctionSyntax
{
    public required string Name { get; init; }

    public required int Line { get; init; }

    public required bool IsEntry { get; init; }

    public required List<VariableSyntax> Results { get; init; }

    public required List<VariableSyntax> Parameters { get; init; }

    public int MaxThreads { get; set; }

    public List<Statement>? Body { get; set; }
}

internal sealed class PtxSyntax
{
    private readonly List<(string Text, int Line)> _tokens = [];
    private int _next;

    private PtxSyntax(string text)
    {
        Lines = text.Split('\n').Select(line => line.Trim()).ToArray();
        Tokenize(text);
        while (_next < _tokens.Count)
        {
            ParseTopLevel();
        }
    }

    public string[] Lines { get; }

    public Dictionary<string, FunctionSyntax> Functions { get; } = [];

    /// <summary>Shared variables of the module.</summary>
    public List<VariableSyntax> Shared { get; } = [];

    public static PtxSyntax Parse(string text) => new(text);

    public static int SizeOf(string type, int line) => type switch
    {
        "b8" or "u8" or "s8" => 1,
        "b16" or "u16" or "s16" or "f16" or "bf16" => 2,
        "b32" or "u32" or "s32" or "f32" or "f16x2" or "bf16x2" => 4,
        "b64" or "u64" or "s64" or "f64" => 8,
        "b128" => 16,
        _ => throw new PtxParseException(line, $"unknown type .{type}"),
    };

    private static bool IsWordStart(char c) => char.IsAsciiLetter(c) || c is '_' or '$' or '%' or '.';

    private static bool IsWord(char c) => IsWordStart(c) || char.IsAsciiDigit(c);

    private void Tokenize(string text)
    {
        var line = 1;
        for (var i = 0; i < text.Length;)
        {
            var c = text[i];
            if (c == '\n')
            {
                line++;
                i++;
            }
            else if (char.IsWhiteSpace(c) || c == '\0')
            {
                i++;
            }
            else if (c == '/' && i + 1 < text.Length && text[i + 1] == '/')
            {
                while (i < text.Length && text[i] != '\n')
                {
                    i++;
                }
            }
            else if (c == '/' && i + 1 < text.Length && text[i + 1] == '*')
            {
                var end = text.IndexOf("*/", i + 2, StringComparison.Ordinal);
                if (end < 0)
                {
                    throw new PtxParseException(line, "a comment without an end");
                }

                line += text.AsSpan(i, end - i).Count('\n');
                i = end + 2;
            }
            else if (c == '"')
            {
                var end = text.IndexOf('"', i + 1);
                if (end < 0)
                {
                    throw new PtxParseException(line, "a string without an end");
                }

                _tokens.Add((text[i..(end + 1)], line));
                i = end + 1;
            }
            else if (IsWordStart(c) || char.IsAsciiDigit(c))
            {
                var end = i + 1;
                while (end < text.Length)
                {
                    // The colons of L1::no_allocate belong to the word, the colon after a label does not.
                    if (IsWord(text[end]))
                    {
                        end++;
                    }
                    else if (text[end] == ':' && end + 2 < text.Length && text[end + 1] == ':' && IsWord(text[end + 2]))
                    {
                        end += 2;
                    }
                    else
                    {
                        break;
                    }
                }

                _tokens.Add((text[i..end], line));
                i = end;
            }
            else
            {
                _tokens.Add((c.ToString(), line));
                i++;
            }
        }
    }

    private string Peek => _next < _tokens.Count ? _tokens[_next].Text : "";

    private int Line => _tokens[Math.Min(_next, _tokens.Count - 1)].Line;

    private string Take() => _next < _tokens.Count
        ? _tokens[_next++].Text
        : throw new PtxParseException(Lines.Length, "the text ends in the middle of a statement");

    private bool TryTake(string text)
    {
        if (Peek != text)
        {
            return false;
        }

        _next++;
        return true;
    }

    private void Expect(string text)
    {
        if (!TryTake(text))
        {
            throw new PtxParseException(Line, $"expected '{text}', found '{Peek}'");
        }
    }

    private int TakeInteger()
    {
        var line = Line;
        var text = Take();
        return int.TryParse(text, out var value) ? value : throw new PtxParseException(line, $"expected a number, found '{text}'");
    }

    private void ParseTopLevel()
    {
        switch (Peek)
        {
            case ".version":
            case ".address_size":
                _next += 2;
                break;
            case ".target":
                _next += 2;
                while (TryTake(","))
                {
                    _next++;
                }

                break;
            case ".file":
                SkipLine();
                break;
            case ".visible" or ".extern" or ".weak" or ".common":
                _next++;
                break;
            case ".shared":
                _next++;
                Shared.Add(ParseVariable(";"));
                Expect(";");
                break;
            case ".entry" or ".func":
                ParseFunction();
                break;
            default:
                throw new PtxParseException(Line, $"unknown directive '{Peek}'");
        }
    }

    private void SkipLine()
    {
        var line = Line;
        while (_next < _tokens.Count && _tokens[_next].Line == line)
        {
            _next++;
        }
    }

    private void ParseFunction()
    {
        var line = Line;
        var isEntry = Take() == ".entry";
        var results = Peek == "(" ? ParseParameters() : [];
        var name = Take();
        var function = new FunctionSyntax
        {
            Name = name,
            Line = line,
            IsEntry = isEntry,
            Results = results,
            Parameters = Peek == "(" ? ParseParameters() : [],
        };

        while (Peek is ".maxntid" or ".minnctapersm" or ".reqntid" or ".maxnreg" or ".noreturn")
        {
            var directive = Take();
            if (directive == ".noreturn")
            {
                continue;
            }

            var product = TakeInteger();
            while (TryTake(","))
            {
                product *= TakeInteger();
            }

            if (directive is ".maxntid" or ".reqntid")
            {
                function.MaxThreads = product;
            }
        }

        if (TryTake(";"))
        {
            Functions.TryAdd(name, function);
            return;
        }

        Expect("{");
        function.Body = [];
        var depth = 1;
        while (true)
        {
            if (Peek == "{")
            {
                depth++;
                function.Body.Add(new ScopeStatement(Line, true));
                _next++;
            }
            else if (Peek == "}")
            {
                _next++;
                if (--depth == 0)
                {
                    break;
                }

                function.Body.Add(new ScopeStatement(Line, false));
            }
            else
            {
                ParseStatement(function.Body);
            }
        }

        Functions[name] = function;
    }

    private List<VariableSyntax> ParseParameters()
    {
        var parameters = new List<VariableSyntax>();
        Expect("(");
        while (!TryTake(")"))
        {
            Expect(".param");
            parameters.Add(ParseVariable(",)"));
            TryTake(",");
        }

        return parameters;
    }

    private VariableSyntax ParseVariable(string ends)
    {
        var line = Line;
        var alignment = 0;
        if (TryTake(".align"))
        {
            alignment = TakeInteger();
        }

        var type = Take().TrimStart('.');
        var size = SizeOf(type, line);
        var name = Take();
        if (alignment == 0)
        {
            alignment = size;
        }

        if (TryTake("["))
        {
            if (TryTake("]"))
            {
                size = -1;
            }
            else
            {
                size *= TakeInteger();
                Expect("]");
            }
        }

        return Peek.Length == 1 && ends.Contains(Peek, StringComparison.Ordinal)
            ? new(name, type, alignment, size)
            : throw new PtxParseException(line, $"unexpected '{Peek}' after the variable {name}");
    }

    private void ParseStatement(List<Statement> body)
    {
        var line = Line;
        if (TryTake(";"))
        {
            return;
        }

        switch (Peek)
        {
            case ".reg":
                ParseRegisters(body);
                return;
            case ".local" or ".shared" or ".param":
                var space = Take()[1..];
                body.Add(new VariableStatement(line, space, ParseVariable(";")));
                Expect(";");
                return;
            case ".branchtargets":
                _next++;
                var labels = new List<string>();
                do
                {
                    labels.Add(Take());
                }
                while (TryTake(","));
                Expect(";");
                body.Add(new BranchTargetsStatement(line, labels));
                return;
            case ".loc":
                SkipLine();
                return;
            case ".pragma":
                while (Take() != ";")
                {
                }

                return;
        }

        if (_next + 1 < _tokens.Count && _tokens[_next + 1].Text == ":")
        {
            body.Add(new LabelStatement(line, Take()));
            _next++;
            return;
        }

        string? guard = null;
        var negated = false;
        if (TryTake("@"))
        {
            negated = TryTake("!");
            guard = Take();
        }

        var opcode = Take();
        if (opcode.Length == 0 || !char.IsAsciiLetter(opcode[0]))
        {
            throw new PtxParseException(line, $"expected an instruction, found '{opcode}'");
        }

        var operands = new List<Operand>();
        while (!TryTake(";"))
        {
            operands.Add(ParseOperand());
            if (Peek != ";")
            {
                Expect(",");
            }
        }

        body.Add(new InstructionStatement(line, guard, negated, opcode, operands));
    }

    private void ParseRegisters(List<Statement> body)
    {
        var line = Line;
        Expect(".reg");
        var type = Take().TrimStart('.');
        do
        {
            var name = Take();
            var count = 0;
            if (TryTake("<"))
            {
                count = TakeInteger();
                Expect(">");
            }

            body.Add(new RegisterStatement(line, type, name, count));
        }
        while (TryTake(","));
        Expect(";");
    }

    private Operand ParseOperand()
    {
        if (TryTake("{"))
        {
            return new() { Kind = OperandKind.Vector, Items = ParseItems("}") };
        }

        if (TryTake("("))
        {
            return new() { Kind = OperandKind.List, Items = ParseItems(")") };
        }

        if (TryTake("["))
        {
            var text = Take();
            long offset = 0;
            if (Peek is "+" or "-")
            {
                var sign = Take() == "+" ? 1 : -1;
                if (TryTake("-"))
                {
                    sign = -sign;
                }

                offset = sign * TakeOffset();
            }

            Expect("]");
            return new() { Kind = OperandKind.Address, Text = text, Offset = offset };
        }

        var minus = TryTake("-");
        var not = TryTake("!");
        var word = Take();
        if (char.IsAsciiDigit(word[0]))
        {
            // 1e-5 and 1.5e+3: the sign ended the word.
            if (Peek is "+" or "-" && word[^1] is 'e' or 'E' && !word.StartsWith("0x", StringComparison.OrdinalIgnoreCase) && word[1] is not ('f' or 'd'))
            {
                word += Take() + Take();
            }

            return new() { Kind = OperandKind.Literal, Text = word, Negated = minus };
        }

        var operand = new Operand { Kind = OperandKind.Name, Text = word, Negated = not };
        return TryTake("|") ? new() { Kind = OperandKind.Pair, Items = [operand, ParseOperand()] } : operand;
    }

    private long TakeOffset()
    {
        var line = Line;
        var text = Take();
        return Literals.TryInteger(text, out var value) ? (long)value : throw new PtxParseException(line, $"expected an offset, found '{text}'");
    }

    private List<Operand> ParseItems(string end)
    {
        var items = new List<Operand>();
        while (!TryTake(end))
        {
            items.Add(ParseOperand());
            if (Peek != end)
            {
                Expect(",");
            }
        }

        return items;
    }
}
