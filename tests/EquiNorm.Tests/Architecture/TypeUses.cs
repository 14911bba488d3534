// Which types of its own assembly a type uses: in its declaration, its members' signatures and the IL of its method bodies.
// IL rather than source text: a type may be used without its namespace or even its name being written.
using System.Reflection;
using System.Reflection.Emit;

namespace EquiNorm.Tests.Architecture;

internal static class TypeUses
{
    private const BindingFlags Declared =
        BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Static | BindingFlags.Instance | BindingFlags.DeclaredOnly;

    private static readonly Dictionary<int, OpCode> OpCodesByValue = typeof(OpCodes)
        .GetFields(BindingFlags.Public | BindingFlags.Static)
        .Select(f => (OpCode)f.GetValue(null)!)
        .ToDictionary(c => c.Value & 0xFFFF);

    public static HashSet<Type> Of(Type type)
    {
        var uses = new HashSet<Type>();
        Add(uses, type.BaseType);
        foreach (var i in type.GetInterfaces())
        {
            Add(uses, i);
        }

        AddAttributes(uses, type.GetCustomAttributesData());
        foreach (var member in type.GetMembers(Declared))
        {
            AddAttributes(uses, member.GetCustomAttributesData());
            AddMember(uses, member);
            if (member is MethodBase method)
            {
                AddBody(uses, method);
            }
        }

        uses.RemoveWhere(t => t.Assembly != type.Assembly);
        return uses;
    }

    private static void Add(HashSet<Type> uses, Type? type)
    {
        if (type == null || type.IsGenericParameter)
        {
            return;
        }

        if (type.HasElementType)
        {
            Add(uses, type.GetElementType());
            return;
        }

        if (type.IsFunctionPointer)
        {
            Add(uses, type.GetFunctionPointerReturnType());
            foreach (var parameter in type.GetFunctionPointerParameterTypes())
            {
                Add(uses, parameter);
            }

            return;
        }

        if (uses.Add(type.IsGenericType ? type.GetGenericTypeDefinition() : type))
        {
            Add(uses, type.DeclaringType);
        }

        foreach (var argument in type.GetGenericArguments())
        {
            Add(uses, argument);
        }
    }

    private static void AddAttributes(HashSet<Type> uses, IEnumerable<CustomAttributeData> attributes)
    {
        foreach (var attribute in attributes)
        {
            Add(uses, attribute.AttributeType);
            foreach (var argument in attribute.ConstructorArguments)
            {
                Add(uses, argument.Value as Type);
            }
        }
    }

    private static void AddMember(HashSet<Type> uses, MemberInfo member)
    {
        Add(uses, member.DeclaringType);
        switch (member)
        {
            case Type nested:
                Add(uses, nested);
                break;
            case FieldInfo field:
                Add(uses, field.FieldType);
                break;
            case MethodBase method:
                foreach (var parameter in method.GetParameters())
                {
                    Add(uses, parameter.ParameterType);
                }

                Add(uses, (method as MethodInfo)?.ReturnType);
                if (method.IsGenericMethod)
                {
                    foreach (var argument in method.GetGenericArguments())
                    {
                        Add(uses, argument);
                    }
                }

                break;
        }
    }

    private static void AddBody(HashSet<Type> uses, MethodBase method)
    {
        if (method.GetMethodBody() is not { } body)
        {
            return;
        }

        foreach (var local in body.LocalVariables)
        {
            Add(uses, local.LocalType);
        }

        foreach (var clause in body.ExceptionHandlingClauses)
        {
            Add(uses, clause.Flags == ExceptionHandlingClauseOptions.Clause ? clause.CatchType : null);
        }

        foreach (var token in Tokens(body.GetILAsByteArray()!))
        {
            Type[]? typeArguments = method.DeclaringType is { IsGenericType: true } d ? d.GetGenericArguments() : null;
            Type[]? methodArguments = method.IsGenericMethod ? method.GetGenericArguments() : null;
            var member = method.Module.ResolveMember(token, typeArguments, methodArguments);
            if (member is Type type)
            {
                Add(uses, type);
            }
            else if (member != null)
            {
                AddMember(uses, member);
            }
        }
    }

    private static IEnumerable<int> Tokens(byte[] il)
    {
        for (int at = 0; at < il.Length;)
        {
            int value = il[at++];
            if (value == 0xFE)
            {
                value = 0xFE00 | il[at++];
            }

            var operand = OpCodesByValue[value].OperandType;
            if (operand is OperandType.InlineField or OperandType.InlineMethod or OperandType.InlineType or OperandType.InlineTok)
            {
                yield return BitConverter.ToInt32(il, at);
            }

            at += operand switch
            {
                OperandType.InlineNone => 0,
                OperandType.ShortInlineBrTarget or OperandType.ShortInlineI or OperandType.ShortInlineVar => 1,
                OperandType.InlineVar => 2,
                OperandType.InlineI8 or OperandType.InlineR => 8,
                OperandType.InlineSwitch => 4 + (4 * BitConverter.ToInt32(il, at)),
                _ => 4,
            };
        }
    }
}
