using System.Diagnostics;
using EquiNorm.Cli.Models;
using EquiNorm.Cli.Report;
using EquiNorm.Cli.Report.Html;

namespace EquiNorm.Cli.Commands;

/// <summary>
/// The file of `rescale --report`: checked before any work, verified and written when the model is there. A run that fails leaves no report; an
/// older one at that place stays as it is.
/// </summary>
internal sealed class ReportFile
{
    private readonly RescaleRequest _request;
    private readonly string _path;
    private readonly List<FileFact> _files = [];

    private ReportFile(RescaleRequest request, string path)
    {
        _request = request;
        _path = path;
    }

    /// <summary>The report that was asked for, or null.</summary>
    /// <exception cref="CliException">It cannot be written there, or is another file of the run.</exception>
    public static ReportFile? For(RescaleRequest request)
    {
        if (request.Report is not { } path)
        {
            return null;
        }

        if (path.Length == 0)
        {
            throw new CliException(ExitCode.Usage, "--report needs the name of a file.");
        }

        if (request.Mode == WriteMode.Write && request.Output is { Length: > 0 } output && (IsSame(path, output) || IsSame(path, output + ".data")))
        {
            throw new CliException(ExitCode.Usage, $"--report {path} is the output itself; give the report a file of its own. Nothing was written.");
        }

        if (new[] { request.Place.Network, request.Place.Names }.Any(f => f is not null && IsSame(path, f)))
        {
            throw new CliException(ExitCode.Usage, $"--report {path} is a file that describes the network; give the report a file of its own. Nothing was written.");
        }

        OutputFile.Check(path);
        return new ReportFile(request, path);
    }

    /// <summary>Refuses to replace the model, and takes its hash while it is there: the output may replace it.</summary>
    /// <exception cref="CliException">The report would replace the model.</exception>
    public void Opened(InputModel model, CancellationToken cancellation)
    {
        if (model.IsStoredIn(_path))
        {
            throw new CliException(ExitCode.Usage, $"--report {_path} is a file of the model itself; give the report a file of its own. Nothing was written.");
        }

        _files.Add(Hashed("input", _request.Input, model.Length, cancellation));
    }

    /// <summary>Compares the files, and writes the report.</summary>
    /// <exception cref="CliException">The report cannot be written; the model is.</exception>
    public void Write(RescaleOutcome outcome, InputModel model, CancellationToken cancellation)
    {
        var clock = Stopwatch.StartNew();
        var verification = Verify(outcome, model, cancellation);
        var verified = clock.Elapsed;
        byte[] page = ReportPage.Render(ReportBuilder.Build(outcome, RunFactsReader.Read(outcome, _files), verification, verified));
        try
        {
            OutputFile.Write(_path, page);
        }
        catch (CliException e) when (_request.Mode == WriteMode.Write)
        {
            throw new CliException(e.Code, $"The model {_request.Output} was written, but not the report: {e.InnerException?.Message ?? e.Message}", e);
        }
    }

    private Verification Verify(RescaleOutcome outcome, InputModel model, CancellationToken cancellation)
    {
        if (_request.Mode == WriteMode.DryRun)
        {
            return new Verification.Skipped("Nothing was written (dry run), so there was nothing to verify.");
        }

        if (outcome.Absorption is { Channels: > 0 })
        {
            _files.Add(Hashed("output", _request.Output!, null, cancellation));
            return new Verification.Skipped("High biases were moved into the next layer (--absorb-bias): the function is not quite the same, and factors alone do not explain the output.");
        }

        // Once the output has replaced the input there is nothing left to compare it with.
        if (model.IsStoredIn(_request.Output!))
        {
            _files.Add(Hashed("output", _request.Output!, null, cancellation));
            return new Verification.Skipped("The output replaced the input, so the two could not be compared; rescaling keeps the function up to rounding.");
        }

        using var written = model.OpenWritten(_request.Output!);
        if (written.IsStoredIn(_path))
        {
            throw new CliException(ExitCode.Usage, $"The model {_request.Output} was written, but not the report: --report {_path} is a file of that model.");
        }

        _files.Add(Hashed("output", _request.Output!, written.Length, cancellation));
        var report = model.Verify(written, cancellation);
        return report.Same
            ? new Verification.Same(report.Tensors.Count, report.MaxDeviation ?? 0)
            : new Verification.Different(report.Reason!);
    }

    // The hash is that of the model file; where tensors lie in data files beside it, it would say too little, and is left out.
    private static FileFact Hashed(string role, string path, long? length, CancellationToken cancellation)
    {
        var fact = RunFactsReader.Hash(role, path, cancellation);
        return length is null || length == fact.Bytes ? fact : fact with { Role = $"{role}, with its data files", Bytes = length.Value, Sha256 = null };
    }

    private static bool IsSame(string a, string b) => string.Equals(
        Path.GetFullPath(a), Path.GetFullPath(b), OperatingSystem.IsLinux() ? StringComparison.Ordinal : StringComparison.OrdinalIgnoreCase);
}
