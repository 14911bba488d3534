using EquiNorm.Model;
using NUnit.Framework;

namespace EquiNorm.Tests.Model;

/// <summary>Binding of elements.</summary>
public sealed class NetworkTensorsTests
{
    [Test]
    public void Unbound_weight_is_named()
    {
        using var tensors = new NetworkTensors(Network());

        Assert.That(tensors.IsBound(0), Is.False);
        Assert.That(() => tensors[0], Throws.InstanceOf<NetworkException>().With.Message.Contains("'w'"));
    }

    [Test]
    public void Elements_are_bound_in_place()
    {
        var elements = new float[] { 0, 1, 2, 3, 4, 5 };
        using var tensors = new NetworkTensors(Network()).Bind("w", elements.AsMemory());

        Assert.That(tensors.IsBound(0), Is.True);
        Assert.That(tensors[0].Length, Is.EqualTo(6));
        unsafe
        {
            ((float*)tensors[0].Address)[5] = 7;
        }

        Assert.That(elements[5], Is.EqualTo(7));
    }

    [Test]
    public void Another_element_type_is_refused()
    {
        using var tensors = new NetworkTensors(Network());

        Assert.That(
            () => tensors.Bind("w", new double[6].AsMemory()),
            Throws.InstanceOf<NetworkException>().With.Message.Contains("'w'").And.Message.Contains("Float32").And.Message.Contains("Float64"));
        Assert.That(tensors.IsBound(0), Is.False);
    }

    [Test]
    public void Too_few_elements_are_refused()
    {
        using var tensors = new NetworkTensors(Network(WeightLayout.Dense(2, 3) with { Offset = 1 }));

        Assert.That(
            () => tensors.Bind("w", new float[6].AsMemory()),
            Throws.InstanceOf<NetworkException>().With.Message.Contains("7").And.Message.Contains("6"));
    }

    [Test]
    public void Null_address_is_refused()
    {
        using var tensors = new NetworkTensors(Network());

        Assert.That(() => tensors.Bind("w", new TensorMemory(0, 6, ElementType.Float32)), Throws.InstanceOf<NetworkException>());
    }

    [Test]
    public void Unknown_weight_is_refused()
    {
        using var tensors = new NetworkTensors(Network());

        Assert.That(() => tensors.Bind("v", new float[6].AsMemory()), Throws.InstanceOf<NetworkException>().With.Message.Contains("'v'"));
    }

    [Test]
    public void Empty_weight_needs_no_elements()
    {
        using var tensors = new NetworkTensors(Network(WeightLayout.Dense(0, 3))).Bind("w", Memory<float>.Empty);

        Assert.That(tensors.IsBound(0), Is.True);
    }

    [Test]
    public void Disposal_unbinds()
    {
        var tensors = new NetworkTensors(Network()).Bind("w", new float[6].AsMemory());
        tensors.Dispose();

        Assert.That(tensors.IsBound(0), Is.False);
    }

    [Test]
    public void Views_need_as_many_elements_as_their_last_address()
    {
        Assert.That(WeightLayout.Dense(4, 3).RequiredElements, Is.EqualTo(12));
        Assert.That(WeightLayout.DenseTransposed(4, 3).RequiredElements, Is.EqualTo(12));
        Assert.That(WeightLayout.DenseAfterFlattenTransposed(4, 3, 5).RequiredElements, Is.EqualTo(60));
        Assert.That(WeightLayout.Convolution(4, 6, 9, groups: 2).RequiredElements, Is.EqualTo(108));
        Assert.That((WeightLayout.Depthwise(4, 9) with { GroupStride = 16, Offset = 2 }).RequiredElements, Is.EqualTo(2 + 3 * 16 + 9));
        Assert.That(WeightLayout.Dense(0, 3).RequiredElements, Is.Zero);
    }

    private static Network Network(WeightLayout? layout = null)
    {
        var builder = new NetworkBuilder();
        builder.Output(builder.Weight(new("w", ElementType.Float32, layout ?? WeightLayout.Dense(2, 3)), builder.Input("x", 3)));
        return builder.Build();
    }
}
