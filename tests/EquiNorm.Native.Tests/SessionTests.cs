// Sessions are made, refused, freed.
using EquiNorm.Native.Abi;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class SessionTests
{
    private static IEnumerable<TestCaseData> Refused()
    {
        yield return Case("p", o => o with { P = 0 });
        yield return Case("p", o => o with { P = double.NaN });
        yield return Case("c", o => o with { C = double.PositiveInfinity });
        yield return Case("penalty", o => o with { Penalty = 3 });
        yield return Case("count_biases", o => o with { CountBiases = 2 });
        yield return Case("coarse_correction", o => o with { CoarseCorrection = -1 });
        yield return Case("sweeps_per_step", o => o with { SweepsPerStep = 0 });
        yield return Case("every", o => o with { Every = 0 });
        yield return Case("threads", o => o with { Threads = -1 });
        yield return Case("threads", o => o with { Threads = int.MaxValue });
        yield return Case("device_kind", o => o with { DeviceKind = 0 });
        yield return Case("device_index", o => o with { DeviceKind = DeviceKinds.Cuda, DeviceIndex = -1 });
        yield return Case("reserved", o => o with { Reserved = 1 });

        static TestCaseData Case(string field, Func<OptionsStruct, OptionsStruct> change) =>
            new TestCaseData(field, change).SetArgDisplayNames(field, $"{change(OptionsStruct.Default)}");
    }

    [TestCaseSource(nameof(Refused))]
    public void An_option_out_of_range_is_refused(string field, Func<OptionsStruct, OptionsStruct> change)
    {
        using var small = new SmallNetwork();
        var before = Held.Sessions.Count;
        Assert.That(C.SessionCreate(small.Network, change(C.Options()), out _), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.StartWith($"en_options.{field} is"));
        Assert.That(Held.Sessions.Count, Is.EqualTo(before));
    }

    [Test]
    public void Null_is_refused()
    {
        using var small = new SmallNetwork();
        var options = C.Options();
        nint session;
        Assert.That(C.SessionCreate(0, &options, &session), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.SessionCreate(small.Network, (void*)null, &session), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.SessionCreate(small.Network, &options, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.OptionsInit(null, 56), Is.EqualTo(Status.InvalidArgument));
    }

    [Test]
    public void Without_a_driver_CUDA_is_unavailable()
    {
        int devices;
        Assert.That(C.CudaDeviceCount(&devices), Is.EqualTo(Status.Ok));
        if (devices > 0)
        {
            Assert.Inconclusive("There is a GPU.");
        }

        using var small = new SmallNetwork();
        Assert.That(
            C.SessionCreate(small.Network, C.Options() with { DeviceKind = DeviceKinds.Cuda }, out _), Is.EqualTo(Status.CudaUnavailable));
        Assert.That(C.LastError, Is.Not.Empty);
    }

    [Test]
    public void A_freed_session_is_refused_by_every_function()
    {
        var small = new SmallNetwork();
        var session = small.Session;
        var before = Held.Sessions.Count;
        Assert.That(C.SessionFree(session), Is.EqualTo(Status.Ok));
        Assert.That(Held.Sessions.Count, Is.EqualTo(before - 1));
        Assert.That(AllWith(session, small), Is.All.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Does.Contain("is no session"));
        Assert.That(AllWith(small.Network, small), Is.All.EqualTo(Status.InvalidArgument), "a network");
        Assert.That(AllWith(0, small), Is.All.EqualTo(Status.InvalidArgument), "null");
        Assert.That(C.SessionFree(session), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.SessionFree(0), Is.EqualTo(Status.Ok));
        C.NetworkFree(small.Network);
    }

    [Test]
    public void Whoever_comes_second_is_told_so()
    {
        // Large enough for a step of a millisecond or so.
        const int Width = 1000;
        var json = SmallNetwork.Json.Replace("[5, 3]", $"[{Width}, 3]").Replace("[5]", $"[{Width}]").Replace("[2, 5]", $"[2, {Width}]")
            .Replace("\"channels\": 5", $"\"channels\": {Width}").Replace("[2, ", $"[{Width}, ").Replace("\"channels\": 2", $"\"channels\": {Width}");
        Assert.That(C.NetworkFromJson(json, out var network), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(C.SessionCreate(network, C.Options() with { Threads = 1 }, out var session), Is.EqualTo(Status.Ok));
        var first = new Buffer<float>(TypeNumbers.Float32, [.. Enumerable.Repeat(2f, 3 * Width)], [Width, 3]);
        var second = new Buffer<double>(TypeNumbers.Float64, [.. Enumerable.Repeat(0.5, Width * Width)], [Width, Width]);
        Assert.That(first.Bind(session, SmallNetwork.FirstName), Is.EqualTo(Status.Ok), () => C.LastError);
        Assert.That(second.Bind(session, "second"), Is.EqualTo(Status.Ok), () => C.LastError);

        var statuses = new System.Collections.Concurrent.ConcurrentDictionary<Status, string>();
        var deadline = DateTime.UtcNow.AddSeconds(30);
        var threads = Enumerable.Range(0, 2).Select(_ => new Thread(() =>
        {
            while (!statuses.ContainsKey(Status.Busy) && DateTime.UtcNow < deadline)
            {
                var status = C.Step(session);
                statuses.TryAdd(status, status == Status.Ok ? "" : C.LastError);
            }
        })).ToArray();
        Array.ForEach(threads, t => t.Start());
        Array.ForEach(threads, t => t.Join());
        Assert.That(statuses.Keys, Is.EquivalentTo([Status.Ok, Status.Busy]));
        Assert.That(statuses[Status.Busy], Does.Contain("Another thread"));

        // Freed while another thread steps: busy until it is not, and refused from then on.
        var last = Status.Ok;
        var stepping = new Thread(() =>
        {
            while (last is Status.Ok or Status.Busy)
            {
                last = C.Step(session);
            }
        });
        stepping.Start();
        Status freed;
        while ((freed = C.SessionFree(session)) == Status.Busy)
        {
            Thread.Yield();
        }

        stepping.Join();
        Assert.That((freed, last), Is.EqualTo((Status.Ok, Status.InvalidArgument)));
        C.NetworkFree(network);
    }

    private static Status[] AllWith(nint session, SmallNetwork small)
    {
        var tensor = small.First.Tensor;
        var factors = stackalloc double[SmallNetwork.Hidden];
        nuint bytes;
        fixed (byte* name = C.Name(SmallNetwork.FirstName))
        {
            return
            [
                C.Bind(session, name, &tensor),
                C.Bind(session, name, null),
                C.BindCompanion(session, name, 0, 0, &tensor),
                C.WorkspaceBytes(session, &bytes),
                C.SetWorkspace(session, null, 0),
                C.Prepare(session, 0),
                C.Step(session),
                C.Report(session, out _),
                C.Solve(session, out _),
                C.Apply(session, out _),
                C.LogFactors(session, name, 0, factors, SmallNetwork.Hidden),
            ];
        }
    }
}
