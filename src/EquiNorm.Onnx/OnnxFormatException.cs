namespace EquiNorm.Onnx;

// One exception type for everything that can be wrong with a model on disk, so that a caller tells "the file is bad"
// from "the program is bad" by type. The message always names the file.

/// <summary>A model file, or a data file that belongs to it, cannot be read or is not valid.</summary>
public sealed class OnnxFormatException : Exception
{
    /// <summary>Names the file and what is wrong with it.</summary>
    /// <param name="file">Path of the file as the caller gave it, or of the external data file.</param>
    /// <param name="problem">What is wrong, and where (tensor, node or byte offset), as a sentence without the file's name.</param>
    /// <param name="inner">The cause, where there is one.</param>
    public OnnxFormatException(string file, string problem, Exception? inner = null)
        : base($"{file}: {problem}", inner)
    {
        File = file;
        Problem = problem;
    }

    /// <summary>Makes the exception, for the code that all formats share.</summary>
    internal static Exception Of(string file, string problem, Exception? inner) => new OnnxFormatException(file, problem, inner);

    /// <summary>Path of the file.</summary>
    public string File { get; }

    /// <summary>What is wrong and where, without the file's name.</summary>
    public string Problem { get; }
}
