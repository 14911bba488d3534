using EquiNorm.Files.Verification;
using EquiNorm.Model;
using EquiNorm.Onnx;
using EquiNorm.Onnx.Verification;
using EquiNorm.Problem;

namespace EquiNorm.Cli.Models;

/// <summary>A model of either format as the commands see it: a network, its elements, and a way to write it with factors.</summary>
internal abstract class InputModel : IDisposable
{
    /// <summary>The network.</summary>
    public abstract Network Network { get; }

    /// <summary>Bytes of all files.</summary>
    public abstract long Length { get; }

    /// <summary>Normalisations that are folded into the operators in front.</summary>
    public virtual IReadOnlyList<string> FoldedNormalizations => [];

    /// <summary>Normalisations whose gamma and beta carry factors.</summary>
    public virtual IReadOnlyList<string> ScaledNormalizations => [];

    /// <summary>What a user should know of how the model was understood, beside <see cref="Model.Network.Notes"/>.</summary>
    public virtual IReadOnlyList<string> Notes => [];

    /// <summary>Opens a model.</summary>
    /// <param name="place">Where it is.</param>
    /// <param name="options">How an ONNX model is understood.</param>
    public static InputModel Open(ModelPlace place, OnnxOptions? options = null) => place.IsSafetensors
        ? SafetensorsInput.Open(place)
        : OnnxInput.Analyzed(place.Path, options);

    /// <summary>Opens what was written from this model.</summary>
    public abstract InputModel OpenWritten(string path);

    /// <summary>Whether a path leads to one of the model's files, links followed.</summary>
    public abstract bool IsStoredIn(string path);

    /// <summary>Compares with what <see cref="OpenWritten"/> opened.</summary>
    public abstract VerificationReport Verify(InputModel written, CancellationToken cancellation);

    /// <summary>Binds the elements to a network derived from <see cref="Network"/>. Read only; dispose it after use.</summary>
    public abstract NetworkTensors Bind(Network network);

    /// <summary>Refuses an output that <see cref="Save"/> would refuse, before any work.</summary>
    /// <exception cref="IOException">It would.</exception>
    public virtual void CheckOutput(string path)
    {
    }

    /// <summary>The biases that the next layers can take; null where the format does not say enough.</summary>
    public virtual BiasAbsorption? PlanAbsorption(Scalings scalings) => null;

    /// <summary>Writes the model with the factors applied, and biases moved where a plan says so.</summary>
    public abstract OnnxSaveReport Save(string path, Scalings scalings, BiasAbsorption? absorption, CancellationToken cancellation);

    /// <summary>Closes the files.</summary>
    public abstract void Dispose();

    private sealed class OnnxInput : InputModel
    {
        private readonly OnnxModel _model;
        private readonly OnnxOptions? _options;
        private OnnxNetwork? _network;

        private OnnxInput(string path, OnnxOptions? options)
        {
            _model = OnnxModel.Open(path);
            _options = options;
            Length = _model.Length;
        }

        public override Network Network => Onnx.Network;

        // What is only compared need not be understood.
        private OnnxNetwork Onnx => _network ??= _model.Analyze(_options);

        public static OnnxInput Analyzed(string path, OnnxOptions? options)
        {
            var input = new OnnxInput(path, options);
            try
            {
                _ = input.Onnx;
                return input;
            }
            catch
            {
                input.Dispose();
                throw;
            }
        }

        public override InputModel OpenWritten(string path) => new OnnxInput(path, _options);

        public override bool IsStoredIn(string path) => _model.IsStoredIn(path);

        public override VerificationReport Verify(InputModel written, CancellationToken cancellation) =>
            RescalingVerifier.Verify(_model, ((OnnxInput)written)._model, cancellation);

        public override long Length { get; }

        public override IReadOnlyList<string> FoldedNormalizations => Onnx.FoldedNormalizations;

        public override IReadOnlyList<string> ScaledNormalizations => Onnx.ScaledNormalizations;

        public override NetworkTensors Bind(Network network) => Onnx.Bind(network);

        public override BiasAbsorption? PlanAbsorption(Scalings scalings) => Onnx.PlanAbsorption(scalings);

        public override OnnxSaveReport Save(string path, Scalings scalings, BiasAbsorption? absorption, CancellationToken cancellation) =>
            Onnx.Save(path, scalings, absorption, cancellation);

        public override void Dispose()
        {
            _network?.Dispose();
            _model.Dispose();
        }
    }
}
