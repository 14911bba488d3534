using System.Text;
using EquiNorm.Gpu.Cuda;

namespace EquiNorm.Gpu.Tests.Cuda;

internal sealed class CudaModuleTests : FakeCudaFixture
{
    [Test]
    public void A_kernel_is_loaded_once_for_all_queues_of_a_context()
    {
        Fake.CreateContext();
        var one = InCurrentContext(0);
        var two = InCurrentContext(Fake.CreateStream());
        one.Launch(First, 1, 32, 0);
        two.Launch(First, 1, 32, 0);
        two.Prepare([First, Second, First]);
        one.Launch(Second, 1, 32, 0);
        Assert.That(Fake.ModulesLoaded, Is.EqualTo(2));
        one.Dispose();
        two.Launch(First, 1, 32, 0);
        Assert.That(Fake.Log, Has.None.EqualTo("cuModuleUnload"));
        two.Dispose();
        Assert.That((Fake.Leaks, Fake.Driver.Modules.Contexts), Is.EqualTo(("1 streams", 0)));
    }

    [Test]
    public void After_the_last_queue_a_kernel_is_loaded_again()
    {
        for (var round = 1; round <= 3; round++)
        {
            using var queue = OnDevice();
            queue.Launch(First, 1, 32, 0);
            Assert.That(Fake.ModulesLoaded, Is.EqualTo(round));
        }

        Assert.That(Fake.Leaks, Is.Empty);
    }

    [Test]
    public void A_new_context_with_the_handle_of_an_old_one_gets_its_own_modules([Values] bool hasContextIds)
    {
        // Drivers before CUDA 12 have no cuCtxGetId.
        Restart(hasContextIds ? [] : ["cuCtxGetId"]);
        var handle = Fake.CreateContext();
        var old = InCurrentContext(0);
        old.Launch(First, 1, 32, 0);
        Fake.DestroyContext(handle);
        Fake.CreateContext(handle: handle);
        var queue = InCurrentContext(0);
        queue.Launch(First, 1, 32, 0);
        Assert.That(Fake.ModulesLoaded, Is.EqualTo(2));
        old.Dispose();
        queue.Launch(First, 1, 32, 0);
        queue.Dispose();
        Assert.That(Fake.Leaks, Is.Empty);
    }

    [Test]
    public void Threads_that_need_a_kernel_at_once_load_it_once()
    {
        using var keeper = OnDevice();
        var queues = Enumerable.Range(0, 8).Select(_ => OnDevice()).ToArray();
        Parallel.ForEach(queues, queue => queue.Prepare([First, Second]));
        Assert.That(Fake.ModulesLoaded, Is.EqualTo(2));
        Array.ForEach(queues, queue => queue.Dispose());
    }

    [Test]
    public void Kernels_with_one_index_are_not_mixed_up()
    {
        using var queue = OnDevice();
        var twin = new KernelId("Twin", First.Index);
        queue.Launch(First, 1, 32, 0);
        queue.Launch(twin, 1, 32, 0);
        queue.Launch(First, 1, 32, 0);
        Assert.That(Fake.Launched.Select(l => l.Kernel), Is.EqualTo(new[] { "First", "Twin", "First" }));
        Assert.That(Fake.ModulesLoaded, Is.EqualTo(2));
    }

    [Test]
    public void What_the_compiler_says_is_passed_on()
    {
        using var queue = OnDevice();
        Fake.Compiler = (CudaResult.InvalidPtx, "ptxas application ptx input, line 12; fatal : Parsing error near ';'\n");
        var refusal = Refusal(() => queue.Prepare([First]), CudaErrorKind.InvalidPtx);
        Assert.That(refusal.Message, Does.Contain("First").And.Contain("cuModuleLoadDataEx").And.Contain("CUDA_ERROR_INVALID_PTX")
            .And.Contain("line 12; fatal : Parsing error near ';'"));
        Fake.Compiler = (CudaResult.InvalidPtx, new string('x', 100_000));
        Assert.That(Refusal(() => queue.Prepare([First]), CudaErrorKind.InvalidPtx).Message, Has.Length.InRange(16_000, 17_000));
        Fake.Compiler = (CudaResult.JitCompilerNotFound, "");
        Assert.That(Refusal(() => queue.Prepare([First]), CudaErrorKind.InvalidPtx).Message, Does.Contain("libnvidia-ptxjitcompiler"));
        Fake.Compiler = null;
        queue.Launch(First, 1, 32, 0);
    }

    [Test]
    public void A_driver_that_is_too_old_for_a_kernel_is_told_what_it_needs([Values] bool saysItInTheLog)
    {
        using var queue = OnDevice();
        Fake.Compiler = saysItInTheLog
            ? (CudaResult.InvalidPtx, "fatal : Unsupported .version 7.8; current version is '7.4'")
            : (CudaResult.UnsupportedPtxVersion, "");
        var refusal = Refusal(() => queue.Launch(First, 1, 32, 0), CudaErrorKind.DriverTooOld);
        Assert.That(refusal.Message, Does.Contain("PTX 7.8").And.Contain("CUDA 11.8").And.Contain("520"));
    }

    [TestCase("cuModuleGetFunction", CudaResult.NotFound, CudaErrorKind.InvalidPtx)]
    [TestCase("cuModuleGetFunction", CudaResult.OutOfMemory, CudaErrorKind.OutOfMemory)]
    [TestCase("cuFuncLoad", CudaResult.OutOfMemory, CudaErrorKind.OutOfMemory)]
    [TestCase("cuFuncGetAttribute", CudaResult.InvalidHandle, CudaErrorKind.WrongContext)]
    [TestCase("cuModuleLoadDataEx", CudaResult.NoBinaryForGpu, CudaErrorKind.UnsupportedDevice)]
    public void A_kernel_that_fails_to_load_leaves_no_module_and_can_be_tried_again(string call, CudaResult failure, CudaErrorKind kind)
    {
        using var queue = OnDevice();
        Fake.FailIn(call, failure);
        Assert.That(Refusal(() => queue.Launch(First, 1, 32, 0), kind).Call, Is.EqualTo(call));
        Assert.That(Fake.Leaks, Does.Not.Contain("modules"));
        queue.Launch(First, 1, 32, 0);
    }

    [Test]
    public void A_text_that_does_not_end_with_a_zero_is_not_given_to_the_driver()
    {
        using var queue = CudaQueue.OnDevice(Fake.Driver, 0, kernel => Ptx(kernel)[..^1]);
        Assert.Throws<ArgumentException>(() => queue.Prepare([First]));
        Assert.That(Fake.Log, Has.None.EqualTo("cuModuleLoadDataEx"));
    }

    [TestCase(".entry K(.param .b32 a)", 4, 4)]
    [TestCase(".entry K()", 0, 1)]
    [TestCase(".entry K { ret; }", 0, 1)]
    [TestCase(".entry K\n.maxntid 32, 1, 1\n{ ret; }", 0, 1)]
    [TestCase(".visible .entry\tK (\r\n\t.param .align 8 .b8 _v_1[16],\r\n\t.param .b32 _n_2\r\n)\r\n.maxntid 256, 1, 1", 20, 8)]
    [TestCase(".entry K(.param .u8 a, .param .f64 b, .param .b16 c)", 18, 8)]
    [TestCase(".entry K(.param .align 16 .b8 a[20], .param .s64 b, .param .align 4 .b8 c[3])", 35, 16)]
    [TestCase(".entry K(.param .u64 .ptr .global .align 16 a, .param .f32 b)", 12, 8)]
    [TestCase(".entry K(.param .u64 .ptr a)", 8, 8)]
    [TestCase(".entry Kx(.param .b64 a) .entry K(.param .b32 a)", 4, 4)]
    [TestCase("// .entry K(.param .b64 a)\n.entry K(/* .param .b64 z, */ .param .b32 a // b\n)", 4, 4)]
    public void The_size_of_a_parameter_block_is_read(string text, int bytes, int alignment) =>
        Assert.That(PtxEntry.Parameters(Encoding.ASCII.GetBytes(text), "K"), Is.EqualTo((bytes, alignment)));

    [TestCase(".entry Kx()")]
    [TestCase(".func K(.param .b32 a)")]
    [TestCase(".entry K(.param .b128 a)")]
    [TestCase(".entry K(.param .texref a)")]
    public void A_declaration_that_is_not_understood_is_not_guessed_at(string text) =>
        Assert.That(PtxEntry.Parameters(Encoding.ASCII.GetBytes(text), "K"), Is.Null);

    [Test]
    public void A_kernel_whose_parameters_cannot_be_read_is_not_loaded()
    {
        using var queue = CudaQueue.OnDevice(Fake.Driver, 0, _ => Encoding.ASCII.GetBytes(".version 7.8 .entry First(.param .texref a)\0"));
        Assert.That(Refusal(() => queue.Prepare([First]), CudaErrorKind.InvalidPtx).Message, Does.Contain("First"));
        Assert.That(Fake.Leaks, Does.Not.Contain("modules"));
    }

    [TestCase(".version 7.8\n.target sm_80", "7.8")]
    [TestCase("//\n// ILGPU\n.version 8.10\r\n", "8.10")]
    [TestCase(".version 7", null)]
    [TestCase(".target sm_80", null)]
    [TestCase(".version ", null)]
    public void The_version_of_a_text_is_read(string text, string? version) =>
        Assert.That(PtxVersion.Declared(Encoding.ASCII.GetBytes(text))?.ToString(), Is.EqualTo(version));

    [Test]
    public void The_kernels_are_of_the_version_that_messages_speak_of() => Assert.Multiple(() =>
    {
        foreach (var kernel in KernelCatalog.All)
        {
            var text = KernelImages.Ptx(kernel);
            Assert.That(PtxVersion.Declared(text), Is.EqualTo(PtxVersion.OfKernels), kernel.Name);
            Assert.That(PtxEntry.Parameters(text, PtxEntry.NameOf(kernel, text)), Is.Not.Null, kernel.Name);
        }
    });

    [Test]
    public void Every_kernel_that_ships_is_found_in_its_PTX()
    {
        using var queue = CudaQueue.OnDevice(Fake.Driver, 0, KernelImages.Ptx);
        queue.Prepare(KernelCatalog.All);
        Assert.That(Fake.ModulesLoaded, Is.EqualTo(KernelCatalog.All.Count));
    }
}
