using EquiNorm.Backends.Cpu;
using EquiNorm.Model;

using NUnit.Framework;

namespace EquiNorm.Tests.Backends.Cpu;

public sealed unsafe class VectorWidthsTests
{
    [Test]
    public void The_environment_variable_is_understood()
    {
        Assert.Multiple(() =>
        {
            Assert.That(VectorWidths.Parse(null), Is.EqualTo(VectorWidths.Available[0]));
            Assert.That(VectorWidths.Parse(" "), Is.EqualTo(VectorWidths.Available[0]));
            Assert.That(VectorWidths.Parse("0"), Is.EqualTo(VectorWidth.Scalar));
            Assert.Throws<ArgumentException>(() => VectorWidths.Parse("64"));
            Assert.Throws<ArgumentException>(() => VectorWidths.Parse("wide"));
            Assert.That(VectorWidths.Available, Does.Contain(VectorWidths.Default).And.Contain(VectorWidth.Scalar));
        });
    }

    [Test]
    public void A_slice_must_lie_inside_its_view()
    {
        MatrixView view = MatrixView.RowMajor(null, ElementType.Float32, 3, 4, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => view.Slice(0, 4, 0, 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => view.Slice(2, 1, 3, 2));
        Assert.Throws<ArgumentOutOfRangeException>(() => view.Slice(-1, 1, 0, 4));
        Assert.That(view.Slice(3, 0, 4, 0).IsEmpty);
    }
}
