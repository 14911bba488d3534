using EquiNorm.Cli.Text;
using EquiNorm.Description;
using EquiNorm.Files.Verification;
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Problem;
using EquiNorm.Safetensors;

namespace EquiNorm.Cli.Models;

/// <summary>A safetensors model with its network described as JSON.</summary>
internal sealed class SafetensorsInput : InputModel
{
    private readonly SafetensorsModel _model;
    private readonly ModelPlace _place;

    private SafetensorsInput(ModelPlace place, SafetensorsModel model, SafetensorsNetwork bound)
    {
        _place = place;
        _model = model;
        Bound = bound;
        Length = _model.Length;
    }

    /// <summary>The network, bound to the tensors.</summary>
    public SafetensorsNetwork Bound { get; }

    /// <inheritdoc/>
    public override Network Network => Bound.Network;

    /// <inheritdoc/>
    public override long Length { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes
    {
        get
        {
            // A bias that a description forgot would leave the function wrong: what is not rescaled is said.
            var left = Bound.OtherTensors.Where(t => t.ElementType is not null).Select(t => $"'{t.Name}'").ToList();
            return left.Count == 0 ? [] : [$"{Say.Count(left.Count, "floating-point tensor")} of the file that the network does not have: kept as they are ({Say.Some(left)})"];
        }
    }

    /// <summary>Opens a model.</summary>
    public static SafetensorsInput Open(ModelPlace place)
    {
        var names = place.Names is { } map ? SafetensorsModel.ReadNames(map) : null;
        var model = SafetensorsModel.Open(place.Path);
        try
        {
            return new SafetensorsInput(place, model, model.Bind(Describe(place.Network!), names));
        }
        catch
        {
            model.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public override InputModel OpenWritten(string path) => Open(_place with { Path = path });

    /// <inheritdoc/>
    public override bool IsStoredIn(string path) => _model.IsStoredIn(path);

    /// <inheritdoc/>
    public override VerificationReport Verify(InputModel written, CancellationToken cancellation) =>
        SafetensorsVerifier.Verify(Bound, ((SafetensorsInput)written).Bound, cancellation);

    /// <inheritdoc/>
    public override NetworkTensors Bind(Network network) => Bound.Bind(network);

    /// <inheritdoc/>
    public override void CheckOutput(string path) => _model.CheckOutput(path);

    /// <inheritdoc/>
    public override OnnxSaveReport Save(string path, Scalings scalings, BiasAbsorption? absorption, CancellationToken cancellation)
    {
        var report = Bound.Save(path, scalings, cancellation);
        return new OnnxSaveReport(report.Apply, report.Write, 0, report.Underflowed);
    }

    /// <inheritdoc/>
    public override void Dispose()
    {
        Bound.Dispose();
        _model.Dispose();
    }

    private static DescribedNetwork Describe(string path)
    {
        try
        {
            if (new FileInfo(path) is { Exists: true, Length: > NetworkDescription.MaxBytes } file)
            {
                throw new CliException(ExitCode.InvalidModel, $"{path}: a description has at most {NetworkDescription.MaxBytes} bytes, this file has {file.Length}.");
            }

            return NetworkDescription.Read(File.ReadAllBytes(path));
        }
        catch (NetworkException e)
        {
            throw new CliException(ExitCode.InvalidModel, $"{path}: {e.Message}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new CliException(ExitCode.InvalidModel, $"{path} cannot be read: {e.Message}", e);
        }
    }
}
