namespace EquiNorm.Cli.Models;

/// <summary>Where a model is: a file, and for a safetensors file what says how its tensors hang together.</summary>
/// <param name="Path">The file, or the index of a sharded model.</param>
/// <param name="Network">A network described as JSON; null for an ONNX model, which says it itself.</param>
/// <param name="Names">A JSON object of names in the file by names in the network; null if they are the same.</param>
internal sealed record ModelPlace(string Path, string? Network, string? Names)
{
    /// <summary>Whether the file is read as safetensors.</summary>
    public bool IsSafetensors => Network is not null;

    /// <summary>What has to be added to a command line that names the file.</summary>
    public string Options => (Network is null ? "" : $" --network {Network}") + (Names is null ? "" : $" --names {Names}");

    /// <summary>Refuses what cannot be meant.</summary>
    /// <exception cref="CliException">A safetensors file without a network, an ONNX file with one, names without a network.</exception>
    public ModelPlace Checked()
    {
        if (Network is null && (HasName(".safetensors") || HasName(".safetensors.index.json")))
        {
            throw new CliException(ExitCode.Usage, $"{Path} holds tensors and no graph: say how they hang together with '--network NET.json'. "
                + "'equinorm describe' writes that for an ONNX export of the model.");
        }

        if (Network is not null && HasName(".onnx"))
        {
            throw new CliException(ExitCode.Usage, $"{Path} is an ONNX model, which describes its network itself; --network is for safetensors files.");
        }

        return Names is not null && Network is null ? throw new CliException(ExitCode.Usage, "--names needs --network.") : this;
    }

    private bool HasName(string end) => Path.EndsWith(end, StringComparison.OrdinalIgnoreCase);
}
