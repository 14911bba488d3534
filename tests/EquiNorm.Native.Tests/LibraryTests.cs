// What belongs to no network and no session: versions, error texts, handles, sizes of structs.
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class LibraryTests
{
    [Test]
    public void The_version_is_a_version() => Assert.That(C.Version, Does.Match(@"^\d+\.\d+\.\d+"));

    [Test]
    public void A_thread_without_a_failure_has_an_empty_text_and_one_with_a_failure_its_own()
    {
        C.Step(1);
        var (mine, before, after) = (C.LastError, "", "");
        var thread = new Thread(() =>
        {
            before = C.LastError;
            C.NetworkFromJson("{", out _);
            after = C.LastError;
        });
        thread.Start();
        thread.Join();
        Assert.That(mine, Does.Contain("0x1 is no session"));
        Assert.That(before, Is.Empty);
        Assert.That(after, Does.Contain("JSON"));
        Assert.That(C.LastError, Is.EqualTo(mine));
    }

    [Test]
    public void A_call_that_succeeds_keeps_the_text()
    {
        C.Step(1);
        var text = C.LastError;
        using var small = new SmallNetwork();
        Assert.That(C.LastError, Is.EqualTo(text));
    }

    [Test]
    public void A_text_is_cut_where_it_would_be_endless_and_has_no_zero_inside()
    {
        Failure.Of(new NativeException(Status.Internal, "a\0b" + new string('x', 100_000)));
        Assert.That(C.LastError, Has.Length.InRange(1000, 9000));
        Assert.That(C.LastError, Does.Contain("a\uFFFDb"));
    }

    [Test]
    public void An_exception_of_an_unknown_type_is_internal_and_is_named()
    {
        Assert.That(Failure.Of(new InvalidTimeZoneException("what")), Is.EqualTo(Status.Internal));
        Assert.That(C.LastError, Is.EqualTo("System.InvalidTimeZoneException: what"));
        Failure.Of(new TypeInitializationException("T", new ArgumentException("why")));
        Assert.That(C.LastError, Does.Contain("T").And.Contains("<- System.ArgumentException: why"));
        Assert.That(Failure.Of(new OutOfMemoryException()), Is.EqualTo(Status.OutOfMemory));
    }

    [Test]
    public void Devices_are_counted()
    {
        var count = -1;
        Assert.That(C.CudaDeviceCount(&count), Is.EqualTo(Status.Ok));
        Assert.That(count, Is.GreaterThanOrEqualTo(0));
        Assert.That(C.CudaDeviceCount(null), Is.EqualTo(Status.InvalidArgument));
    }

    [Test]
    public void A_handle_is_refused_once_it_is_removed_also_when_its_place_is_used_again()
    {
        var table = new HandleTable<string>(3, "thing");
        var a = table.Add("a");
        Assert.That(table.Get(a), Is.EqualTo("a"));
        table.Remove(a);
        var b = table.Add("b");
        Assert.That(b, Is.Not.EqualTo(a));
        Assert.That(() => table.Get(a), Throws.TypeOf<NativeException>());
        Assert.That(() => table.Remove(a), Throws.TypeOf<NativeException>());
        Assert.That(table.Get(b), Is.EqualTo("b"));
        Assert.That(() => new HandleTable<string>(4, "other").Get(b), Throws.TypeOf<NativeException>());
        Assert.That(table.Count, Is.EqualTo(1));
    }

    [Test]
    public void Many_handles_are_distinct_and_all_can_be_removed()
    {
        var table = new HandleTable<string>(3, "thing");
        var handles = Enumerable.Range(0, 1000).Select(n => table.Add($"{n}")).ToArray();
        Assert.That(handles.Distinct().Count(), Is.EqualTo(1000));
        for (var n = 0; n < handles.Length; n++)
        {
            Assert.That(table.Remove(handles[n]), Is.EqualTo($"{n}"));
        }

        Assert.That(table.Count, Is.Zero);
    }

    [TestCase(0u)]
    [TestCase(4u)]
    [TestCase(55u)]
    [TestCase(0xCDCDCDCDu)]
    public void A_size_that_no_version_has_is_refused(uint size)
    {
        var options = C.Options();
        options.Size = size;
        using var small = new SmallNetwork();
        Assert.That(C.SessionCreate(small.Network, options, out _), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("size"));
        Assert.That(C.OptionsInit(&options, size), Is.EqualTo(Status.InvalidArgument));
    }

    [Test]
    public void A_larger_struct_is_taken_if_it_sets_nothing_that_is_unknown()
    {
        var bytes = stackalloc byte[80];
        new Span<byte>(bytes, 80).Fill(0xEE);
        Assert.That(C.OptionsInit(bytes, 72), Is.EqualTo(Status.Ok));
        Assert.That(*(uint*)bytes, Is.EqualTo(72));
        Assert.That(new Span<byte>(bytes + sizeof(OptionsStruct), 72 - sizeof(OptionsStruct)).ToArray(), Is.All.Zero);
        Assert.That(bytes[72], Is.EqualTo(0xEE));
        using var small = new SmallNetwork();
        nint session;
        Assert.That(C.SessionCreate(small.Network, bytes, &session), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(C.SessionFree(session), Is.EqualTo(Status.Ok));
        bytes[71] = 1;
        Assert.That(C.SessionCreate(small.Network, bytes, &session), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("older"));
    }

    [Test]
    public void A_larger_report_is_filled_with_zeros()
    {
        using var small = new SmallNetwork();
        var bytes = stackalloc byte[64];
        new Span<byte>(bytes, 64).Fill(0xEE);
        *(uint*)bytes = 60;
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
        Assert.That(C.Report(small.Session, bytes), Is.EqualTo(Status.Ok));
        Assert.That(*(uint*)bytes, Is.EqualTo(60));
        Assert.That(((StepReportStruct*)bytes)->Applied, Is.EqualTo(1));
        Assert.That(new Span<byte>(bytes + sizeof(StepReportStruct), 12).ToArray(), Is.All.Zero);
        Assert.That(bytes[60], Is.EqualTo(0xEE));
    }
}
