// Arguments by chance: statuses, never a crash. Pointers are null, in the first page, or lead to random bytes.
using EquiNorm.Native.Failures;
using EquiNorm.Native.Handles;

namespace EquiNorm.Native.Tests;

[TestFixture]
internal sealed unsafe class GarbageTests
{
    private const int BlockBytes = 8192;

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    public void Random_arguments_return_a_status(int seed)
    {
        var random = new Random(seed);
        using var small = new SmallNetwork();
        var (networks, sessions) = (Held.Networks.Count, Held.Sessions.Count);
        var memory = GC.AllocateArray<byte>(2 * BlockBytes, pinned: true);
        fixed (byte* block = memory)
        {
            for (var n = 0; n < 20_000; n++)
            {
                random.NextBytes(memory.AsSpan(0, 256));
                *(uint*)block = random.Next(3) == 0 ? (uint)random.Next() : (uint)random.Next(64);
                var status = Call(random, small, block);
                Assert.That((int)status, Is.InRange(0, 13), () => C.LastError);
            }
        }

        Assert.That((Held.Networks.Count, Held.Sessions.Count), Is.EqualTo((networks, sessions)));
        Assert.That(small.First.Bind(small.Session, SmallNetwork.FirstName), Is.EqualTo(Status.Ok));
        Assert.That(small.Second.Bind(small.Session, "second"), Is.EqualTo(Status.Ok));
        Assert.That(C.Step(small.Session), Is.EqualTo(Status.Ok), () => C.LastError);
    }

    [Test]
    public void Random_tensors_return_a_status()
    {
        var random = new Random(4);
        using var small = new SmallNetwork();
        var numbers = GC.AllocateArray<long>(40, pinned: true);
        fixed (long* shape = numbers)
        fixed (byte* name = C.Name(SmallNetwork.FirstName))
        {
            for (var n = 0; n < 20_000; n++)
            {
                for (var k = 0; k < numbers.Length; k++)
                {
                    numbers[k] = random.Next(4) switch { 0 => random.NextInt64(long.MinValue, long.MaxValue), 1 => 5, 2 => 3, _ => random.Next(-2, 20) };
                }

                var tensor = small.First.Tensor with
                {
                    Type = random.Next(-1, 5),
                    DeviceKind = random.Next(0, 3),
                    Dimensions = random.Next(-1, 18),
                    Shape = shape,
                    Strides = random.Next(2) == 0 ? null : shape + 20,
                };
                var status = random.Next(2) == 0
                    ? C.Bind(small.Session, name, &tensor)
                    : C.BindCompanion(small.Session, name, random.Next(-1, 4), random.Next(-1, 3), &tensor);
                Assert.That(status, Is.Not.EqualTo(Status.Internal), () => C.LastError);
            }
        }
    }

    // Memory that a step writes must not be random: calls that bind or free something get no session that lives.
    private static Status Call(Random random, SmallNetwork small, byte* block)
    {
        var pointer = Pointer();
        var number = random.Next(4) == 0 ? random.Next(int.MinValue, int.MaxValue) : random.Next(-2, 5);
        switch (random.Next(16))
        {
            case 0: return C.NetworkFromJson(block, (nuint)random.Next(256), (nint*)(block + BlockBytes));
            case 1: return C.NetworkFromJson((byte*)pointer, (nuint)random.Next(256), (nint*)Pointer());
            case 2: return C.NetworkGroups(Handle(true), (byte*)pointer, (nuint)random.Next(16), (nuint*)Pointer());
            case 3: return C.OptionsInit(pointer, (nuint)random.Next(200));
            case 4: return C.SessionCreate(Handle(false), pointer, (nint*)Pointer());
            case 5: C.NetworkFree(Handle(false)); return Status.Ok;
            case 6: return C.SessionFree(Handle(false));
            case 7: return C.Bind(Handle(false), (byte*)pointer, Pointer());
            case 8: return C.Bind(small.Session, (byte*)pointer, Pointer());
            case 9: return C.BindCompanion(small.Session, (byte*)pointer, number, number, Pointer());
            case 10: return C.Step(Handle(true), number, (int*)(random.Next(2) == 0 ? null : block));
            case 11: return C.Report(Handle(true), pointer);
            case 12: return C.Solve(Handle(true), number, random.NextDouble() - 0.5, Math.Min(number, 100), number, pointer);
            case 13: return C.Apply(Handle(true), number, number, pointer);
            case 14: return C.LogFactors(Handle(true), (byte*)pointer, number, (double*)Pointer(), (nuint)random.Next(16));
            default: return C.SetWorkspace(Handle(false), pointer, (nuint)random.Next());
        }

        nint Handle(bool alive) => random.Next(4) switch
        {
            0 => 0,
            1 => (nint)random.NextInt64(long.MinValue, long.MaxValue),
            2 => (alive ? small.Session : small.Session + ((nint)1 << 25)) ^ ((nint)1 << random.Next(24)),
            _ => alive ? small.Session : small.Session + ((nint)1 << 24),
        };

        void* Pointer() => random.Next(5) switch { 0 => null, 1 => (void*)random.Next(4096), _ => block };
    }
}
