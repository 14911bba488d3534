namespace EquiNorm.PtxMachine.Tests;

[TestFixture]
internal sealed class FixtureTests
{
    public static IEnumerable<string> Files() =>
        Directory.GetFiles(Path.Combine(AppContext.BaseDirectory, "Fixtures"), "*.ptx").Select(f => Path.GetFileNameWithoutExtension(f)!).Order();

    [TestCaseSource(nameof(Files))]
    public void What_the_compiler_emits_is_understood(string name)
    {
        var module = PtxModule.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Fixtures", name + ".ptx")));
        Assert.That(module.Entries, Has.Count.EqualTo(1));
    }

    [Test]
    public void Axpy_adds()
    {
        using var device = new PtxDevice();
        var module = PtxModule.Parse(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Fixtures", "Axpy.ptx")));
        var y = Enumerable.Range(0, 1000).Select(i => (float)i).ToArray();
        ulong py = device.Upload(y), px = device.Upload(y);
        var arguments = new byte[36];
        BitConverter.TryWriteBytes(arguments.AsSpan(0), py);
        BitConverter.TryWriteBytes(arguments.AsSpan(8), 1000L);
        BitConverter.TryWriteBytes(arguments.AsSpan(16), px);
        BitConverter.TryWriteBytes(arguments.AsSpan(24), 1000L);
        BitConverter.TryWriteBytes(arguments.AsSpan(32), 2f);
        device.Launch(module, "Kernel_Axpy", 8, 128, arguments);
        Assert.That(device.Read<float>(py, 1000), Is.EqualTo(y.Select(v => 3 * v)));
    }
}
