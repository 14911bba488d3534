using System.Runtime.InteropServices;
using System.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

// Modules are texts with ".version" and ".entry" lines; launches are written down, when they are asked for and when they run.
internal sealed unsafe partial class FakeCuda
{
    private readonly Dictionary<nint, FakeModule> _modules = [];
    private readonly Dictionary<nint, (nint Module, string Name)> _functions = [];

    /// <summary>Modules loaded so far.</summary>
    public int ModulesLoaded { get; private set; }

    /// <summary>What the compiler says of a text, and how it fails; null: it takes it.</summary>
    public (CudaResult Result, string Log)? Compiler { get; set; }

    /// <summary>Most threads in a group of any kernel.</summary>
    public int MaxGroupSize { get; set; } = 1024;

    /// <summary>Launches asked for.</summary>
    public List<FakeLaunch> Launched { get; } = [];

    /// <summary>Launches that ran.</summary>
    public List<FakeLaunch> Executed { get; } = [];

    /// <summary>What a kernel does when it runs.</summary>
    public Func<FakeLaunch, CudaResult> Kernel { get; set; } = _ => CudaResult.Success;

    [UnmanagedCallersOnly]
    private static CudaResult ModuleLoadDataEx(nint* module, byte* image, uint count, JitOption* options, void** values)
    {
        var fake = _active!;
        var error = Begin("cuModuleLoadDataEx");
        if (error != 0 || fake.IsUnsafeInCapture(out error))
        {
            return error;
        }

        if (fake.Compiler is { } refusal)
        {
            for (var i = 0; i < count; i++)
            {
                if ((int)options[i] == 5)
                {
                    // CU_JIT_ERROR_LOG_BUFFER; its size is the value of option 6 itself.
                    var size = (int)(nint)values[Array.IndexOf([(int)options[0], (int)options[1]], 6)];
                    var log = Encoding.UTF8.GetBytes(refusal.Log);
                    log.AsSpan(0, Math.Min(log.Length, size)).CopyTo(new Span<byte>(values[i], size));
                }
            }

            return refusal.Result;
        }

        var text = Marshal.PtrToStringUTF8((nint)image)!;
        if (!text.Contains(".version", StringComparison.Ordinal))
        {
            return CudaResult.InvalidImage;
        }

        lock (fake._gate)
        {
            fake.ModulesLoaded++;
            *module = fake.NewHandle();
            fake._modules.Add(*module, new FakeModule(fake.CurrentContext, text));
            return CudaResult.Success;
        }
    }

    [UnmanagedCallersOnly]
    private static CudaResult ModuleUnload(nint module)
    {
        var fake = _active!;
        var error = Begin("cuModuleUnload");
        lock (fake._gate)
        {
            return fake._modules.TryGetValue(module, out var known) && known.Context == fake.CurrentContext && fake._modules.Remove(module)
                ? error
                : CudaResult.InvalidHandle;
        }
    }

    [UnmanagedCallersOnly]
    private static CudaResult ModuleGetFunction(nint* function, nint module, byte* name)
    {
        var fake = _active!;
        var error = Begin("cuModuleGetFunction");
        if (error != 0)
        {
            return error;
        }

        lock (fake._gate)
        {
            var entry = Marshal.PtrToStringUTF8((nint)name)!;
            if (!fake._modules[module].Text.Contains($".entry {entry}(", StringComparison.Ordinal))
            {
                return CudaResult.NotFound;
            }

            *function = fake.NewHandle();
            fake._functions.Add(*function, (module, entry));
            return CudaResult.Success;
        }
    }

    [UnmanagedCallersOnly]
    private static CudaResult FuncGetAttribute(int* value, FunctionAttribute attribute, nint function)
    {
        *value = (int)attribute == 0 ? _active!.MaxGroupSize : -1;
        return Begin("cuFuncGetAttribute");
    }

    [UnmanagedCallersOnly]
    private static CudaResult FuncLoad(nint function) => Begin("cuFuncLoad");

    [UnmanagedCallersOnly]
    private static CudaResult LaunchKernel(
        nint function, uint x, uint y, uint z, uint threadsX, uint threadsY, uint threadsZ, uint shared, nint stream, void** parameters, void** extra)
    {
        var fake = _active!;
        var error = Begin("cuLaunchKernel");
        if (error != 0 || !fake.IsLogging)
        {
            return error;
        }

        if (!fake._functions.TryGetValue(function, out var known) || !fake._modules.TryGetValue(known.Module, out var module)
            || module.Context != fake.CurrentContext)
        {
            return CudaResult.InvalidHandle;
        }

        // {1, &block, 2, &size, 0} and no other parameters.
        if (parameters != null || (nint)extra[0] != 1 || (nint)extra[2] != 2 || extra[4] != null || (y, z, threadsY, threadsZ, shared) != (1, 1, 1, 1, 0))
        {
            return CudaResult.InvalidValue;
        }

        var size = (int)*(nuint*)extra[3];
        if (size != Parameters(module.Text, known.Name))
        {
            // What a driver says to a size with padding at the end, of all things.
            return CudaResult.LaunchOutOfResources;
        }

        var block = new ReadOnlySpan<byte>(extra[1], size).ToArray();
        return fake.Put(new FakeLaunch(known.Name, x, threadsX, block, stream, fake.CurrentContext));
    }

    // The declarations that the tests use, as a table: not by the code that is tested.
    private static int Parameters(string text, string entry) =>
        entry == "Views" ? 44 : text.Contains("(\n    .param .b32 number\n)", StringComparison.Ordinal) ? 4 : OfKernel(text, entry);

    // The kernels that ship take one struct.
    private static int OfKernel(string text, string entry)
    {
        var declared = System.Text.RegularExpressions.Regex.Match(text, entry + @"\(\s*\.param \.align \d+ \.b8 \w+\[(?<bytes>\d+)\]\s*\)");
        return declared.Success ? int.Parse(declared.Groups["bytes"].Value, System.Globalization.CultureInfo.InvariantCulture) : -1;
    }

    // A method of its own: a closure is allocated where its variables begin.
    private CudaResult Put(FakeLaunch launch)
    {
        Launched.Add(launch);
        return Put(launch.Stream, () =>
        {
            Executed.Add(launch);
            return Kernel(launch);
        });
    }

    private sealed record FakeModule(nint Context, string Text);
}
