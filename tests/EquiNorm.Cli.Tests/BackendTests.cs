using EquiNorm.Cli.Backends;
using EquiNorm.Gpu;
using EquiNorm.Gpu.Cuda;
using EquiNorm.Gpu.Tests.Machine;
using EquiNorm.Testing;
using NUnit.Framework;

namespace EquiNorm.Cli.Tests;

/// <summary>Which device solves, and what is said where it cannot. The GPUs of these tests are the PTX machine, or fail.</summary>
[TestFixture]
internal sealed class BackendTests
{
    private static readonly CudaDevice Good = new(1, "Good One", 80L << 30, new Version(9, 0), 132, null);
    private static readonly CudaDevice Old = new(0, "Old One", 8L << 30, new Version(7, 0), 80, "its compute capability is 7.0; the kernels need 8.0.");

    /// <summary>A machine without a driver: what the other tests of the tool run on, whatever machine they run on.</summary>
    public static Gpus NoDriver { get; } = new(
        () => new CudaDeviceList([], null, "no CUDA driver: libcuda.so.1 was not found"),
        _ => throw new CudaException(CudaErrorKind.NoDriver, "There is no CUDA driver: libcuda.so.1 was not found."));

    private static Gpus Machine => new(() => new CudaDeviceList([Old, Good], new Version(12, 4), null), index => index == 1
        ? new MachineQueue()
        : throw new CudaException(CudaErrorKind.UnsupportedDevice, "cuda:0 Old One cannot be used: its compute capability is 7.0."));

    private static Gpus Broken => Machine with { Open = _ => throw new CudaException(CudaErrorKind.OutOfMemory, "The device is full.") };

    private static Gpus FailingLater => Machine with { Open = _ => new FullQueue() };

    [TestCase("cuda:1", "ptx machine")]
    [TestCase("cuda", "ptx machine")]
    [TestCase("auto", "ptx machine")]
    [TestCase("cpu", "cpu")]
    public void The_backend_that_was_asked_for_solves_and_is_named(string backend, string name)
    {
        using var directory = new TemporaryDirectory();
        string model = new ResidualModel().Save(directory["in.onnx"]);
        var json = Tool.Run(Machine, "rescale", model, "-o", directory["out.onnx"], "--backend", backend, "--json");
        var text = Tool.Run(Machine, "rescale", model, "--dry-run", "--backend", backend);
        Assert.Multiple(() =>
        {
            Assert.That(json.ExitCode, Is.Zero, json.Error);
            Assert.That(json.Error, Is.Empty);
            Assert.That(json.Json.GetProperty("backend").GetString(), Is.EqualTo(name));
            Assert.That(text.Out, Does.Contain(name));
            Assert.That(Tool.Run("verify", model, directory["out.onnx"]).ExitCode, Is.Zero);
        });
    }

    [Test]
    public void Auto_is_the_CPU_without_a_word_where_there_is_no_device()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run(NoDriver, "rescale", new DenseModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--json");
        Assert.That((run.ExitCode, run.Error, run.Json.GetProperty("backend").GetString()), Is.EqualTo((0, "", "cpu")));
    }

    [Test]
    public void Auto_falls_back_to_the_CPU_and_says_so_when_the_device_cannot_be_had()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run(Broken, "rescale", new DenseModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--json");
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero);
            Assert.That(run.Json.GetProperty("backend").GetString(), Is.EqualTo("cpu"));
            Assert.That(run.Error.TrimEnd().Split('\n'), Has.Length.EqualTo(1));
            Assert.That(run.Error, Does.Contain("cuda:1 Good One").And.Contain("The device is full."));
        });
    }

    [TestCase("cuda", "no CUDA driver")]
    [TestCase("cuda:0", "no CUDA driver")]
    public void Without_a_driver_cuda_is_6_and_writes_nothing(string backend, string message) =>
        Refused(NoDriver, backend, message);

    [Test]
    public void A_device_that_cannot_be_used_is_6_and_says_why()
    {
        Refused(Machine, "cuda:0", "compute capability");
        Refused(Broken, "cuda:1", "The device is full.");
        Refused(Machine with { List = () => new CudaDeviceList([Old], new Version(12, 4), null) }, "cuda", "Old One cannot be used");
    }

    [TestCase("auto")]
    [TestCase("cuda")]
    public void A_failure_during_the_solve_is_6_and_says_what_to_do(string backend) => Refused(FailingLater, backend, "--backend cpu");

    [TestCase("ilgpu", 6)]
    [TestCase("ilgpu:cuda:3", 6)]
    [TestCase("ilgpu:opencl", 2)]
    public void An_accelerator_that_is_not_there_is_an_error(string backend, int exitCode)
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run(Machine, "rescale", new DenseModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--backend", backend);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(exitCode));
            Assert.That(run.Error, Does.Contain("--backend ilgpu:"));
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }

    // Its groups are threads of the operating system: a small model takes a second.
    [Test]
    public void The_cpu_accelerator_of_ILGPU_solves_a_model()
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run(Machine, "rescale", new DenseModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--backend", "ilgpu:cpu");
        if (run.ExitCode == 6 && run.Error.Contains("signatures", StringComparison.Ordinal))
        {
            Assert.Ignore("The package sources of this build do not have ILGPU.");
        }

        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.Zero, run.Error);
            Assert.That(File.Exists(directory["out.onnx"]));
        });
    }

    [Test]
    public void Devices_lists_what_can_be_used_and_why_not()
    {
        var text = Tool.Run(Machine, "devices");
        var json = Tool.Run(Machine, "devices", "--json").Json;
        Assert.Multiple(() =>
        {
            Assert.That(text.ExitCode, Is.Zero);
            Assert.That(text.Error, Is.Empty);
            Assert.That(text.Out, Does.Contain("Good One").And.Contain("80.0 GiB").And.Contain("9.0").And.Contain("cuda:0 cannot be used: its compute capability"));
            Assert.That(json.GetProperty("driver").GetString(), Is.EqualTo("12.4"));
            Assert.That(json.GetProperty("auto").GetString(), Is.EqualTo("cuda:1"));
            Assert.That(json.GetProperty("devices").EnumerateArray().Select(d => d.GetProperty("supported").GetBoolean()), Is.EqualTo([false, true]));
            Assert.That(json.GetProperty("devices")[1].GetProperty("memoryBytes").GetInt64(), Is.EqualTo(80L << 30));
        });
    }

    [Test]
    public void Devices_says_why_there_is_none()
    {
        var text = Tool.Run(NoDriver, "devices");
        var json = Tool.Run(NoDriver, "devices", "--json").Json;
        Assert.Multiple(() =>
        {
            Assert.That(text.ExitCode, Is.Zero);
            Assert.That(text.Out, Does.Contain("no CUDA driver: libcuda.so.1 was not found").And.Contain("the CPU"));
            Assert.That(json.GetProperty("reason").GetString(), Does.Contain("no CUDA driver"));
            Assert.That(json.GetProperty("auto").GetString(), Is.EqualTo("cpu"));
            Assert.That(json.GetProperty("devices").GetArrayLength(), Is.Zero);
        });
    }

    private static void Refused(Gpus gpus, string backend, string message)
    {
        using var directory = new TemporaryDirectory();
        var run = Tool.Run(gpus, "rescale", new DenseModel().Save(directory["in.onnx"]), "-o", directory["out.onnx"], "--backend", backend);
        Assert.Multiple(() =>
        {
            Assert.That(run.ExitCode, Is.EqualTo(6), run.Error);
            Assert.That(run.Error, Does.StartWith("equinorm: ").And.Contain(message).And.Contain("--backend cpu"));
            Assert.That(run.Out, Is.Empty);
            Assert.That(Tool.Left(directory, "in.onnx"), Is.Empty);
        });
    }

    private sealed class FullQueue : IDeviceQueue
    {
        public string Name => "full";

        public QueueCounters Counters => default;

        public DeviceMemory Allocate(long bytes) => throw new CudaException(CudaErrorKind.OutOfMemory, "The device is full.");

        public void Free(DeviceMemory memory) => throw new NotSupportedException();

        public void Upload(ReadOnlySpan<byte> source, ulong destination) => throw new NotSupportedException();

        public void Download(ulong source, Span<byte> destination) => throw new NotSupportedException();

        public void Clear(ulong destination, long bytes) => throw new NotSupportedException();

        public void Launch<TArguments>(KernelId kernel, int groups, int groupSize, in TArguments arguments)
            where TArguments : unmanaged => throw new NotSupportedException();

        public void Synchronize() => throw new NotSupportedException();

        public void Dispose()
        {
        }
    }
}
