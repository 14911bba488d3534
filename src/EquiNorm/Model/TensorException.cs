namespace EquiNorm.Model;

/// <summary>What is wrong with a tensor that was bound, or should be.</summary>
public enum TensorError
{
    /// <summary>The network has no weight of that name.</summary>
    UnknownName,

    /// <summary>The element type differs from the declared one.</summary>
    WrongType,

    /// <summary>Shape or strides do not fit the declared ones, elements overlap, or there are too few.</summary>
    WrongShape,

    /// <summary>The elements are on another device than the work.</summary>
    WrongDevice,

    /// <summary>Nothing is bound, or its memory is gone.</summary>
    NotBound,

    /// <summary>An element is a NaN or an infinity.</summary>
    NonFinite,

    /// <summary>A magnitude or a factor leaves the range of float64.</summary>
    OutOfRange,

    /// <summary>Its owner does not allow writing.</summary>
    ReadOnly,
}

/// <summary>A tensor cannot be used; nothing was written. The message names the tensor and the value.</summary>
/// <param name="error">What is wrong.</param>
/// <param name="message">The message.</param>
public sealed class TensorException(TensorError error, string message) : NetworkException(message)
{
    /// <summary>What is wrong.</summary>
    public TensorError Error { get; } = error;
}
