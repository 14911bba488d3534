using EquiNorm.Embedding;
using EquiNorm.Model;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Networks;
using EquiNorm.Problem;
using EquiNorm.Solve;

namespace EquiNorm.Native.Sessions;

/// <summary>What an en_session stands for: a session, and what C's calls need beyond it. One caller at a time.</summary>
internal sealed unsafe partial class NativeSession(NativeNetwork network, RescalingSession session)
{
    private readonly BoundTensor?[] _weights = new BoundTensor?[network.Network.Weights.Count];
    private readonly Dictionary<CompanionPlace, BoundTensor> _companions = [];
    private bool _hasReport;
    private bool _hasSolution;
    private int _busy;
    private bool _closed;

    /// <summary>Bytes of memory that steps need.</summary>
    public long MeasureWorkspace()
    {
        using var use = Enter();
        return session.MeasureWorkspace();
    }

    /// <summary>Gives the session memory to work in; null and 0 take it back.</summary>
    public void SetWorkspace(void* workspace, ulong bytes)
    {
        using var use = Enter();
        if (workspace == null && bytes != 0)
        {
            throw NativeException.Argument($"The workspace is null, and is said to have {bytes} bytes.");
        }

        if ((nuint)workspace % 256 != 0 || bytes > long.MaxValue)
        {
            throw NativeException.Argument($"The workspace is at 0x{(nuint)workspace:x} and has {bytes} bytes; its address must be a multiple of 256.");
        }

        // The report of a step lies in the old one.
        _hasReport = false;
        session.UseWorkspace((nint)workspace, (long)bytes);
    }

    /// <summary>Does what must be done before a stream is captured.</summary>
    public void Prepare(nint stream)
    {
        using var use = Enter();
        RequireStream(stream);
        session.Prepare(stream);
    }

    /// <summary>Makes a step; whether this was the n-th call.</summary>
    public bool Step(nint stream)
    {
        using var use = Enter();
        RequireStream(stream);
        _hasReport = false;
        try
        {
            _hasReport = session.Step(stream);
            return _hasReport;
        }
        catch (TensorException e) when (e.Error == TensorError.NonFinite)
        {
            // The report says so too.
            _hasReport = true;
            throw;
        }
    }

    /// <summary>What the last step did; the status says why it wrote nothing where the elements were to blame.</summary>
    public Status ReadReport(out StepReportStruct report)
    {
        using var use = Enter();
        report = StepReportStruct.Nothing;
        if (!_hasReport)
        {
            return Status.Ok;
        }

        var read = session.ReadReport();
        report.ObjectiveBefore = read.ObjectiveBefore;
        report.Residual = read.Residual;
        report.FrozenChannels = read.FrozenChannels;
        report.Overflowed = read.Applied.Overflowed;
        report.Underflowed = read.Applied.Underflowed;
        report.Applied = read.Outcome == Backends.StepOutcome.Applied ? 1 : 0;
        return read.Outcome switch
        {
            Backends.StepOutcome.Applied => Status.Ok,
            Backends.StepOutcome.NonFinite => Status.NonFinite,
            _ => Status.OutOfRange,
        };
    }

    /// <summary>Finds the factors of the optimum.</summary>
    public SolveResultStruct Solve(nint stream, double tolerance, int maxSweeps, bool warm)
    {
        using var use = Enter();
        RequireStream(stream);
        if (!double.IsFinite(tolerance) || tolerance <= 0 || maxSweeps < 1)
        {
            throw NativeException.Argument($"The tolerance is {tolerance} and max_sweeps is {maxSweeps}; both must be positive.");
        }

        var options = new RescalingOptions { Tolerance = tolerance, MaxSweeps = maxSweeps };
        var result = session.Solve(options, warm ? SolveStart.Warm : SolveStart.Cold, stream);
        _hasSolution = result.Scalings is not null;
        return new SolveResultStruct
        {
            State = result.Status switch
            {
                RescalingStatus.Converged => SolveState.Converged,
                RescalingStatus.SweepLimit => SolveState.SweepLimit,
                RescalingStatus.Stalled => SolveState.Stalled,
                _ => throw new NativeException(Status.NonFinite, result.Advice),
            },
            Sweeps = result.Sweeps,
            ObjectiveBefore = result.ObjectiveBefore,
            Objective = result.Objective,
            Residual = result.Residual,
            GapBound = result.GapBound ?? double.NaN,
            FrozenChannels = result.Frozen.Count,
        };
    }

    /// <summary>Multiplies what is bound by the factors of the last solve.</summary>
    public StepReportStruct Apply(nint stream, bool inverse)
    {
        using var use = Enter();
        RequireStream(stream);
        if (!_hasSolution)
        {
            throw NativeException.Argument("There are no factors to apply: no solve has found any.");
        }

        var applied = session.Apply(inverse, stream);
        return StepReportStruct.Nothing with { Applied = 1, Overflowed = applied.Overflowed, Underflowed = applied.Underflowed };
    }

    /// <summary>Copies the log factors of the last step or solve.</summary>
    public void ReadLogFactors(byte* name, int axis, double* factors, ulong count)
    {
        using var use = Enter();
        var weight = network.Weight(name);
        if (axis is not (0 or 1))
        {
            throw NativeException.Argument($"The axis is {axis}; it must be 0 for outputs or 1 for inputs.");
        }

        var map = axis == 0 ? weight.Outputs : weight.Inputs;
        if (count != (ulong)map.Length)
        {
            throw NativeException.Argument(
                $"Weight '{weight.Name}' has {map.Length} {(axis == 0 ? "outputs" : "inputs")}; there is room for {count} factors.");
        }

        var scalings = session.ReadScalings();
        var to = new Span<double>(factors, map.Length);
        foreach (var range in map.Ranges)
        {
            scalings.LogFactorsOf(network.Network.Groups[range.Group]).Slice(range.Start, range.Count).CopyTo(to);
            to = to[range.Count..];
        }
    }

    /// <summary>Ends the session, unless a call is under way.</summary>
    /// <param name="forget">Takes it out of the table: also where releasing it fails, which cannot be tried again.</param>
    public void Close(Action forget)
    {
        using var use = Enter();
        _closed = true;
        forget();
        session.Dispose();
    }

    // CUDA finds out by itself what is no stream; the CPU has none.
    private void RequireStream(nint stream)
    {
        if (stream != 0 && session.Device.Kind == DeviceKind.Cpu)
        {
            throw NativeException.Argument($"The stream is 0x{stream:x}; a session on the CPU has none, it must be null.");
        }
    }

    private Use Enter()
    {
        if (Interlocked.CompareExchange(ref _busy, 1, 0) != 0)
        {
            throw new NativeException(
                Status.Busy, "Another thread is using this session. A session serves one caller at a time; make one for each thread, or take a lock.");
        }

        // Found in the table by one thread just before another took it out.
        var use = new Use(this);
        if (_closed)
        {
            use.Dispose();
            throw NativeException.Argument("The session was freed.");
        }

        return use;
    }

    private readonly ref struct Use(NativeSession session)
    {
        public void Dispose() => Volatile.Write(ref session._busy, 0);
    }
}
