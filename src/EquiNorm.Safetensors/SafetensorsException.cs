namespace EquiNorm.Safetensors;

/// <summary>A safetensors file, its index or a map of names cannot be read, is not valid, or does not fit the network. The message names the file, the tensor and the axis.</summary>
public sealed class SafetensorsException : Exception
{
    /// <summary>Names the file and what is wrong with it.</summary>
    /// <param name="file">Path of the file as the caller gave it, or of a shard.</param>
    /// <param name="problem">What is wrong, and where, as a sentence without the file's name.</param>
    /// <param name="inner">The cause, where there is one.</param>
    public SafetensorsException(string file, string problem, Exception? inner = null)
        : base($"{file}: {problem}", inner)
    {
        File = file;
        Problem = problem;
    }

    /// <summary>Makes the exception, for the code that all formats share.</summary>
    internal static Exception Of(string file, string problem, Exception? inner) => new SafetensorsException(file, problem, inner);

    /// <summary>Path of the file.</summary>
    public string File { get; }

    /// <summary>What is wrong and where, without the file's name.</summary>
    public string Problem { get; }
}
