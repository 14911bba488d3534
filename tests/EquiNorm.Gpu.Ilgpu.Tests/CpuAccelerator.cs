using System.Reflection;
using ILGPU;
using ILGPU.Runtime;
using ILGPU.Runtime.CPU;

namespace EquiNorm.Gpu.Ilgpu.Tests;

/// <summary>ILGPU's CPU accelerator, with groups as large as the kernels need: one for all tests, because it has a thread for each lane.</summary>
[SetUpFixture]
internal sealed class CpuAccelerator
{
    private static Context? _context;
    private static Accelerator? _accelerator;

    /// <summary>The accelerator; tests that ask for it are ignored where the package is missing.</summary>
    public static Accelerator Shared
    {
        get
        {
            RequirePackage();
            return _accelerator ??= Create(ref _context);
        }
    }

    public static void RequirePackage()
    {
        var available = typeof(CpuAccelerator).Assembly.GetCustomAttributes<AssemblyMetadataAttribute>().Single(a => a.Key == "IlgpuAvailable");
        if (available.Value != "true")
        {
            Assert.Ignore("The package sources of this build do not have ILGPU: its CPU accelerator cannot run.");
        }
    }

    [OneTimeTearDown]
    public void Release()
    {
        _accelerator?.Dispose();
        _context?.Dispose();
    }

    private static CPUAccelerator Create(ref Context? context)
    {
        context ??= Context.Create(b => b.Optimize(OptimizationLevel.O2));
        return new CPUDevice(32, 8, 1).CreateCPUAccelerator(context);
    }
}
