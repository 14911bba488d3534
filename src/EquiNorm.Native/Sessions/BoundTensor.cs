using EquiNorm.Model;

namespace EquiNorm.Native.Sessions;

/// <summary>
/// What was bound last at one place, so that binding the same again does nothing and allocates nothing: programs bind everything before
/// every step, because they cannot know what has moved.
/// </summary>
internal sealed class BoundTensor
{
    private readonly TensorView _view;
    private readonly long[] _shape;
    private readonly long[]? _strides;

    private BoundTensor(in TensorArgument tensor, long[] shape, long[]? strides)
    {
        _shape = shape;
        _strides = strides;
        _view = new TensorView(tensor.Address, tensor.Type, shape) { Strides = strides, Device = tensor.Device };
    }

    /// <summary>The tensor as the session takes it.</summary>
    public TensorView View => _view;

    /// <summary>A tensor that is about to be bound where another was.</summary>
    public static BoundTensor Of(in TensorArgument tensor, BoundTensor? last) => last?.HasPlaces(tensor) == true
        ? new BoundTensor(tensor, last._shape, last._strides)
        : new BoundTensor(tensor, tensor.Shape.ToArray(), tensor.HasStrides ? tensor.Strides.ToArray() : null);

    /// <summary>Whether it is the same tensor.</summary>
    public bool Is(in TensorArgument tensor) =>
        _view.Address == tensor.Address && _view.ElementType == tensor.Type && _view.Device == tensor.Device && HasPlaces(tensor);

    private bool HasPlaces(in TensorArgument tensor) =>
        tensor.Shape.SequenceEqual(_shape) && tensor.HasStrides == _strides is not null && tensor.Strides.SequenceEqual(_strides);
}
