using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;
using EquiNorm.Native.Sessions;

namespace EquiNorm.Native.Exports;

// Sessions, from their making to their end, and what is bound to them.
internal static unsafe partial class Exports
{
    [UnmanagedCallersOnly(EntryPoint = "en_options_init", CallConvs = [typeof(CallConvCdecl)])]
    public static Status InitializeOptions(void* options, nuint size)
    {
        try
        {
            Pointers.Require(options, "options");
            var bytes = VersionedStruct.RequireSize<OptionsStruct>(size, "en_options");
            *(uint*)options = (uint)bytes;
            VersionedStruct.Write(OptionsStruct.Default, options, "en_options");
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_create", CallConvs = [typeof(CallConvCdecl)])]
    public static Status CreateSession(nint network, void* options, nint* session)
    {
        try
        {
            Pointers.Require(session, "session");
            var read = VersionedStruct.Read<OptionsStruct>(options, "en_options");
            *session = Held.Sessions.Add(SessionFactory.Create(Held.Networks.Get(network), read));
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_free", CallConvs = [typeof(CallConvCdecl)])]
    public static Status FreeSession(nint session)
    {
        try
        {
            if (session != 0)
            {
                Held.Sessions.Get(session).Close(() => Held.Sessions.Remove(session));
            }

            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_bind", CallConvs = [typeof(CallConvCdecl)])]
    public static Status Bind(nint session, byte* name, void* tensor)
    {
        try
        {
            Held.Sessions.Get(session).Bind(name, tensor);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_bind_companion", CallConvs = [typeof(CallConvCdecl)])]
    public static Status BindCompanion(nint session, byte* name, int kind, int slot, void* tensor)
    {
        try
        {
            Held.Sessions.Get(session).BindCompanion(name, kind, slot, tensor);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_workspace_bytes", CallConvs = [typeof(CallConvCdecl)])]
    public static Status MeasureWorkspace(nint session, nuint* bytes)
    {
        try
        {
            Pointers.Require(bytes, "bytes");
            *bytes = (nuint)Held.Sessions.Get(session).MeasureWorkspace();
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }

    [UnmanagedCallersOnly(EntryPoint = "en_session_set_workspace", CallConvs = [typeof(CallConvCdecl)])]
    public static Status SetWorkspace(nint session, void* workspace, nuint bytes)
    {
        try
        {
            Held.Sessions.Get(session).SetWorkspace(workspace, bytes);
            return Status.Ok;
        }
        catch (Exception e)
        {
            return Failure.Of(e);
        }
    }
}
