// Networks from JSON, and what they say of their groups.
using System.Text;
using System.Text.Json;
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class NetworkTests
{
    [Test]
    public void What_is_wrong_with_a_description_is_told()
    {
        var network = (nint)42;
        var json = Encoding.UTF8.GetBytes(SmallNetwork.Json.Replace("\"float32\"", "\"float33\""));
        fixed (byte* text = json)
        {
            Assert.That(C.NetworkFromJson(text, (nuint)json.Length, &network), Is.EqualTo(Status.InvalidNetwork));
        }

        Assert.That(network, Is.EqualTo((nint)42), "a call that fails writes nothing");
        Assert.That(C.LastError, Does.Contain("float33"));
    }

    [Test]
    public void Null_is_refused()
    {
        nint network;
        byte text = 0;
        Assert.That(C.NetworkFromJson(null, 10, &network), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.LastError, Is.EqualTo("json is null."));
        Assert.That(C.NetworkFromJson(&text, 0, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.NetworkFromJson(&text, 0, &network), Is.EqualTo(Status.InvalidNetwork), "an empty text");
    }

    [Test]
    public void A_length_beyond_the_limit_is_refused_before_a_byte_is_read()
    {
        nint network;
        byte text = 0;
        Assert.That(C.NetworkFromJson(&text, nuint.MaxValue, &network), Is.EqualTo(Status.InvalidNetwork));
    }

    [Test]
    public void Groups_are_written_where_there_is_room()
    {
        using var small = new SmallNetwork();
        nuint needed;
        Assert.That(C.NetworkGroups(small.Network, null, 0, &needed), Is.EqualTo(Status.Ok));
        var buffer = new byte[needed + 8];
        Array.Fill(buffer, (byte)0xEE);
        fixed (byte* to = buffer)
        {
            Assert.That(C.NetworkGroups(small.Network, to, needed - 1, &needed), Is.EqualTo(Status.Ok));
            Assert.That(buffer, Is.All.EqualTo(0xEE), "too small: nothing is written");
            Assert.That(C.NetworkGroups(small.Network, to, needed, &needed), Is.EqualTo(Status.Ok));
        }

        Assert.That(buffer[needed - 1], Is.Zero);
        Assert.That(buffer[(int)needed..], Is.All.EqualTo(0xEE));
        using var json = JsonDocument.Parse(buffer.AsMemory(0, (int)needed - 1));
        var groups = json.RootElement.GetProperty("groups").EnumerateArray().ToArray();
        Assert.That(groups.Select(g => g.GetProperty("channels").GetInt32()), Is.EqualTo([3, 5, 2]));
        Assert.That(groups.Select(g => g.GetProperty("pinned").GetString()), Is.EqualTo(["network input", null, "network output"]));
        Assert.That(groups[1].GetProperty("sources")[0].GetString(), Is.EqualTo(SmallNetwork.FirstName));
        Assert.That(groups[1].GetProperty("sources").GetArrayLength(), Is.EqualTo(1), "the bias does not count");
        Assert.That(groups[1].GetProperty("sinks")[0].GetString(), Is.EqualTo("second"));
        Assert.That(json.RootElement.GetProperty("notes").GetArrayLength(), Is.Zero);
    }

    [Test]
    public void Groups_of_nothing_are_refused()
    {
        using var small = new SmallNetwork();
        nuint needed;
        Assert.That(C.NetworkGroups(small.Network, null, 0, null), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.NetworkGroups(0, null, 0, &needed), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.NetworkGroups(small.Session, null, 0, &needed), Is.EqualTo(Status.InvalidArgument), "a session is no network");
    }

    [Test]
    public void A_freed_network_is_refused_and_its_sessions_go_on()
    {
        using var small = new SmallNetwork();
        var before = Held.Networks.Count;
        C.NetworkFree(small.Network);
        C.NetworkFree(small.Network);
        C.NetworkFree(0);
        C.NetworkFree(1234);
        Assert.That(Held.Networks.Count, Is.EqualTo(before - 1));
        nuint needed;
        Assert.That(C.NetworkGroups(small.Network, null, 0, &needed), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.SessionCreate(small.Network, C.Options(), out _), Is.EqualTo(Status.InvalidArgument));
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok));
    }
}
