// The functions of equinorm.h as a C program calls them: through pointers to what the library exports.
using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using E = EquiNorm.Native.Exports.Exports;

namespace EquiNorm.Native.Tests;

internal static unsafe class C
{
    public static string LastError
    {
        get
        {
            delegate* unmanaged[Cdecl]<byte*> f = &E.GetLastError;
            return Marshal.PtrToStringUTF8((nint)f())!;
        }
    }

    public static string Version
    {
        get
        {
            delegate* unmanaged[Cdecl]<byte*> f = &E.GetVersion;
            return Marshal.PtrToStringUTF8((nint)f())!;
        }
    }

    public static int AbiVersion
    {
        get
        {
            delegate* unmanaged[Cdecl]<int> f = &E.GetAbiVersion;
            return f();
        }
    }

    public static string StatusName(int status)
    {
        delegate* unmanaged[Cdecl]<int, byte*> f = &E.GetStatusName;
        return Marshal.PtrToStringUTF8((nint)f(status))!;
    }

    public static Status CudaDeviceCount(int* count)
    {
        delegate* unmanaged[Cdecl]<int*, Status> f = &E.CountCudaDevices;
        return f(count);
    }

    public static Status NetworkFromJson(byte* json, nuint bytes, nint* network)
    {
        delegate* unmanaged[Cdecl]<byte*, nuint, nint*, Status> f = &E.ReadNetwork;
        return f(json, bytes, network);
    }

    public static void NetworkFree(nint network)
    {
        delegate* unmanaged[Cdecl]<nint, void> f = &E.FreeNetwork;
        f(network);
    }

    public static Status NetworkGroups(nint network, byte* buffer, nuint capacity, nuint* needed)
    {
        delegate* unmanaged[Cdecl]<nint, byte*, nuint, nuint*, Status> f = &E.DescribeGroups;
        return f(network, buffer, capacity, needed);
    }

    public static Status OptionsInit(void* options, nuint size)
    {
        delegate* unmanaged[Cdecl]<void*, nuint, Status> f = &E.InitializeOptions;
        return f(options, size);
    }

    public static Status SessionCreate(nint network, void* options, nint* session)
    {
        delegate* unmanaged[Cdecl]<nint, void*, nint*, Status> f = &E.CreateSession;
        return f(network, options, session);
    }

    public static Status SessionFree(nint session)
    {
        delegate* unmanaged[Cdecl]<nint, Status> f = &E.FreeSession;
        return f(session);
    }

    public static Status Bind(nint session, byte* name, void* tensor)
    {
        delegate* unmanaged[Cdecl]<nint, byte*, void*, Status> f = &E.Bind;
        return f(session, name, tensor);
    }

    public static Status BindCompanion(nint session, byte* name, int kind, int slot, void* tensor)
    {
        delegate* unmanaged[Cdecl]<nint, byte*, int, int, void*, Status> f = &E.BindCompanion;
        return f(session, name, kind, slot, tensor);
    }

    public static Status WorkspaceBytes(nint session, nuint* bytes)
    {
        delegate* unmanaged[Cdecl]<nint, nuint*, Status> f = &E.MeasureWorkspace;
        return f(session, bytes);
    }

    public static Status SetWorkspace(nint session, void* workspace, nuint bytes)
    {
        delegate* unmanaged[Cdecl]<nint, void*, nuint, Status> f = &E.SetWorkspace;
        return f(session, workspace, bytes);
    }

    public static Status Prepare(nint session, nint stream)
    {
        delegate* unmanaged[Cdecl]<nint, nint, Status> f = &E.Prepare;
        return f(session, stream);
    }

    public static Status Step(nint session, nint stream, int* applied)
    {
        delegate* unmanaged[Cdecl]<nint, nint, int*, Status> f = &E.Step;
        return f(session, stream, applied);
    }

    public static Status Report(nint session, void* report)
    {
        delegate* unmanaged[Cdecl]<nint, void*, Status> f = &E.ReadReport;
        return f(session, report);
    }

    public static Status Solve(nint session, nint stream, double tolerance, int maxSweeps, int warm, void* result)
    {
        delegate* unmanaged[Cdecl]<nint, nint, double, int, int, void*, Status> f = &E.Solve;
        return f(session, stream, tolerance, maxSweeps, warm, result);
    }

    public static Status Apply(nint session, nint stream, int inverse, void* report)
    {
        delegate* unmanaged[Cdecl]<nint, nint, int, void*, Status> f = &E.Apply;
        return f(session, stream, inverse, report);
    }

    public static Status LogFactors(nint session, byte* name, int axis, double* factors, nuint count)
    {
        delegate* unmanaged[Cdecl]<nint, byte*, int, double*, nuint, Status> f = &E.ReadLogFactors;
        return f(session, name, axis, factors, count);
    }

    // What a C program would write in a line.
    public static Status NetworkFromJson(string json, out nint network)
    {
        var bytes = Encoding.UTF8.GetBytes(json);
        fixed (byte* text = bytes)
        fixed (nint* to = &network)
        {
            return NetworkFromJson(text, (nuint)bytes.Length, to);
        }
    }

    public static Status SessionCreate(nint network, OptionsStruct options, out nint session)
    {
        fixed (nint* to = &session)
        {
            return SessionCreate(network, &options, to);
        }
    }

    public static OptionsStruct Options()
    {
        OptionsStruct options;
        Assert.That(OptionsInit(&options, (nuint)sizeof(OptionsStruct)), Is.EqualTo(Status.Ok));
        return options;
    }

    public static byte[] Name(string name) => [.. Encoding.UTF8.GetBytes(name), 0];

    public static Status Step(nint session) => Step(session, 0, null);

    public static Status Report(nint session, out StepReportStruct report)
    {
        report = new StepReportStruct { Size = (uint)sizeof(StepReportStruct) };
        fixed (StepReportStruct* to = &report)
        {
            return Report(session, to);
        }
    }

    public static Status Solve(nint session, out SolveResultStruct result, double tolerance = 1e-10, int maxSweeps = 1000, int warm = 0)
    {
        result = new SolveResultStruct { Size = (uint)sizeof(SolveResultStruct) };
        fixed (SolveResultStruct* to = &result)
        {
            return Solve(session, 0, tolerance, maxSweeps, warm, to);
        }
    }

    public static Status Apply(nint session, out StepReportStruct report, int inverse = 0)
    {
        report = new StepReportStruct { Size = (uint)sizeof(StepReportStruct) };
        fixed (StepReportStruct* to = &report)
        {
            return Apply(session, 0, inverse, to);
        }
    }

    public static Status LogFactors(nint session, string name, int axis, double[] factors)
    {
        fixed (byte* text = Name(name))
        fixed (double* to = factors)
        {
            return LogFactors(session, text, axis, to, (nuint)factors.Length);
        }
    }
}
