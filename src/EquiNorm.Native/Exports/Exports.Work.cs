using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;

namespace EquiNorm.Native.Exports;

// What sessions do. Structs that are written are checked first: a call that fails has done nothing.
internal static unsafe partial class Exports
{
    [UnmanagedCallersOnly(EntryPoint = "en_session_prepare", CallConvs = [typeof(CallConvCdecl)])]
    public static Status Prepare(nint session, nint stream)
    {
        try
        {
            Held.Sessions.Get(session).Prepare(stream);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_step", CallConvs = [typeof(CallConvCdecl)])]
    public static Status Step(nint session, nint stream, int* applied)
    {
        try
        {
            if (applied != null)
            {
                Pointers.Require(applied, "applied");
            }

            var made = Held.Sessions.Get(session).Step(stream);
            if (applied != null)
            {
                *applied = made ? 1 : 0;
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_report", CallConvs = [typeof(CallConvCdecl)])]
    public static Status ReadReport(nint session, void* report)
    {
        try
        {
            VersionedStruct.RequireRoom<StepReportStruct>(report, "en_step_report");
            var status = Held.Sessions.Get(session).ReadReport(out var read);
            VersionedStruct.Write(read, report, "en_step_report");
            return status switch
            {
                Status.Ok => Status.Ok,
                Status.NonFinite => throw new NativeException(status, "A weight holds a NaN or an infinity; the step wrote nothing."),
                _ => throw new NativeException(
                    status, "A factor or a magnitude left the range of float64; the step wrote nothing. Solve and apply instead."),
            };
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_solve", CallConvs = [typeof(CallConvCdecl)])]
    public static Status Solve(nint session, nint stream, double tolerance, int maxSweeps, int warm, void* result)
    {
        try
        {
            VersionedStruct.RequireRoom<SolveResultStruct>(result, "en_solve_result");
            var solved = Held.Sessions.Get(session).Solve(stream, tolerance, maxSweeps, warm != 0);
            VersionedStruct.Write(solved, result, "en_solve_result");
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_apply", CallConvs = [typeof(CallConvCdecl)])]
    public static Status Apply(nint session, nint stream, int inverse, void* report)
    {
        try
        {
            VersionedStruct.RequireRoom<StepReportStruct>(report, "en_step_report");
            var applied = Held.Sessions.Get(session).Apply(stream, inverse != 0);
            VersionedStruct.Write(applied, report, "en_step_report");
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_log_factors", CallConvs = [typeof(CallConvCdecl)])]
    public static Status ReadLogFactors(nint session, byte* name, int axis, double* factors, nuint count)
    {
        try
        {
            Pointers.Require(factors, "factors");
            Held.Sessions.Get(session).ReadLogFactors(name, axis, factors, count);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }
}
