namespace EquiNorm.Model;

/// <summary>A network or its tensors are inconsistent. The message names the tensor, the axis and the value.</summary>
public class NetworkException : Exception
{
    /// <summary>Creates the exception with a message that names what is wrong.</summary>
    public NetworkException(string message)
        : base(message)
    {
    }
}
