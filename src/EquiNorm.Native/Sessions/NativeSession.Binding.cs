using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;

namespace EquiNorm.Native.Sessions;

// Tensors by name.
internal sealed unsafe partial class NativeSession
{
    /// <summary>Binds a weight or bias; null takes it back.</summary>
    public void Bind(byte* name, void* tensor)
    {
        using var use = Enter();
        var weight = network.Weight(name);
        ref var bound = ref _weights[weight.Index];
        if (tensor == null)
        {
            session.Unbind(weight.Name);
            bound = null;
            return;
        }

        var argument = new TensorArgument(tensor);
        if (bound?.Is(argument) == true)
        {
            return;
        }

        var next = BoundTensor.Of(argument, bound);
        session.Bind(weight.Name, next.View);
        bound = next;
    }

    /// <summary>Binds a tensor that moves with a weight or bias; null takes it back.</summary>
    public void BindCompanion(byte* name, int kind, int slot, void* tensor)
    {
        using var use = Enter();
        var weight = network.Weight(name);
        if (slot < 0)
        {
            throw NativeException.Argument($"The slot is {slot}; slots are counted from 0.");
        }

        var place = new CompanionPlace(weight.Index, CompanionNumbers.Read(kind), slot);
        if (tensor == null)
        {
            session.UnbindCompanion(weight.Name, place.Kind, slot);
            _companions.Remove(place);
            return;
        }

        var argument = new TensorArgument(tensor);
        var bound = _companions.GetValueOrDefault(place);
        if (bound?.Is(argument) == true)
        {
            return;
        }

        var next = BoundTensor.Of(argument, bound);
        session.BindCompanion(weight.Name, place.Kind, next.View, slot);
        _companions[place] = next;
    }
}
