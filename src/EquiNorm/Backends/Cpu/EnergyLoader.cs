using EquiNorm.Model;
using EquiNorm.Plan;
using EquiNorm.Problem;

namespace EquiNorm.Backends.Cpu;

/// <summary>
/// From the weights to their energies: chooses the power of two that keeps them in range, raises output scales to the power p, and stores
/// the energies of weights that cannot be summed in the same read (several segments, self-edges).
/// </summary>
internal static unsafe class EnergyLoader
{
    // float32 to the power 4 stays within 1e-180 .. 1e154, far from the ends of float64. Beyond that the largest magnitude decides.
    private const double LargestSafeNorm = 4;

    // Prescale only where it is needed: magnitudes within 2^+-200 are safe up to p = 4.
    private const int SafeExponent = 200;

    public static void Prepare(CpuWeight[] weights, RescalingProblem problem, EnergyUse use, Arena arena, WorkerPool pool, Traffic traffic)
    {
        var norm = problem.FactorExponent;
        foreach (var weight in weights)
        {
            // A diagonal is small, and self-edges can be left out of stored energies only.
            weight.HoldsEnergies = weight.StoresEnergies
                && (use == EnergyUse.Keep || weight.Blocks.IsDiagonal || weight.Planned.HasSelfEdges);
            weight.SelfEnergy = 0;
            if (weight.HoldsEnergies)
            {
                weight.AllocateEnergies(arena);
            }

            var prescale = 0;
            if (norm > LargestSafeNorm || weight.Memory.ElementType == ElementType.Float64)
            {
                var largest = MaxAbs(weight, pool);
                traffic.AddRead(weight);
                var exponent = largest > 0 && double.IsFinite(largest) ? Math.ILogB(largest) : 0;
                var inRange = Math.Abs(exponent) * Math.Max(1, norm / LargestSafeNorm) <= SafeExponent;
                prescale = inRange ? 0 : Math.Clamp(-exponent, -PowerLaw.PrescaleLimit, PowerLaw.PrescaleLimit);
            }

            weight.Law = new PowerLaw(problem.Norm, prescale);
            weight.LogScale = weight.Planned.LogPenalty - norm * prescale * Math.Log(2);
            var scale = weight.Planned.Weight.OutputScale.Span;
            for (var o = 0; o < scale.Length; o++)
            {
                // A channel is dead only if its scale is zero, not if the scale's power underflows.
                var power = norm == 2 ? scale[o] * scale[o] : Math.Pow(Math.Abs(scale[o]), norm);
                weight.Scale[o] = scale[o] == 0 ? 0 : Math.Max(Clamp.SmallestNormal, power);
            }
        }
    }

    public static void StoreOthers(CpuWeight[] weights, WorkerPool pool, Traffic traffic)
    {
        foreach (var weight in weights)
        {
            if (!weight.HoldsEnergies || (weight.IsSingleBlock && !weight.Planned.HasSelfEdges))
            {
                continue;
            }

            pool.Run(new StoreJob(weight), weight.Whole.Tiles.Length);
            traffic.AddStore(weight);
            if (weight.Planned.HasSelfEdges)
            {
                RemoveSelfEdges(weight);
            }
        }
    }

    public static (int Output, int Input, int Kernel, double Value)? FindNonFinite(CpuWeight weight)
    {
        var blocks = weight.Blocks;
        for (var block = 0; block < blocks.Count; block++)
        {
            var view = blocks.View(weight.Memory.Address, block);
            if (FiniteScan.FirstNonFinite(view, VectorWidths.Default) is not { } found)
            {
                continue;
            }

            var outer = block * blocks.Outer + found.Outer;
            var value = Element(view.At(found.Outer, found.Inner, found.Kernel), view.Type);
            var inputs = weight.Planned.Weight.Layout.InputsPerGroup;
            return blocks.IsDiagonal ? (outer, 0, found.Kernel, value)
                : blocks.OuterAxis == Axis.Output ? (outer, found.Inner, found.Kernel, value)
                : (block * blocks.Inner + found.Inner, outer % inputs, found.Kernel, value);
        }

        return null;
    }

    private static double Element(byte* address, ElementType type) => type switch
    {
        ElementType.Float32 => *(float*)address,
        ElementType.Float64 => *(double*)address,
        ElementType.Float16 => (double)*(Half*)address,
        _ => BitConverter.UInt32BitsToSingle((uint)*(ushort*)address << 16),
    };

    private static double MaxAbs(CpuWeight weight, WorkerPool pool)
    {
        var largest = weight.TileMaxima;
        pool.Run(new MaxJob(weight, largest), largest.Length);
        double max = 0;
        foreach (var tile in largest)
        {
            max = double.IsNaN(tile) ? tile : Math.Max(max, tile);
        }

        return max;
    }

    // The energies between a channel and itself do not depend on u. They leave the sums; the objective keeps them.
    private static void RemoveSelfEdges(CpuWeight weight)
    {
        var outputs = weight.OutputChannels;
        var inputs = weight.InputChannels;
        var blocks = weight.Blocks;
        var (outer, inner) = blocks.OuterAxis == Axis.Output ? (outputs, inputs) : (inputs, outputs);
        if (blocks.IsDiagonal)
        {
            for (var c = 0; c < outer.Length; c++)
            {
                Take(weight.Energies + c, outer[c] >= 0 && outer[c] == inner[c]);
            }

            return;
        }

        for (var block = 0; block < blocks.Count; block++)
        {
            var energies = weight.EnergiesOf(block);
            for (var r = 0; r < blocks.Outer; r++)
            {
                var channel = outer[block * blocks.Outer + r];
                for (var c = 0; channel >= 0 && c < blocks.Inner; c++)
                {
                    Take(energies + (long)r * blocks.Inner + c, inner[block * blocks.Inner + c] == channel);
                }
            }
        }

        void Take(double* energy, bool isSelfEdge)
        {
            if (isSelfEdge)
            {
                weight.SelfEnergy = weight.Law.TakesLargest ? Math.Max(weight.SelfEnergy, *energy) : weight.SelfEnergy + *energy;
                *energy = 0;
            }
        }
    }

    private readonly struct StoreJob(CpuWeight weight) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            var tile = weight.Whole.Tiles[item];
            var blocks = weight.Blocks;
            var view = blocks.View(weight.Memory.Address, tile.Block).Slice(tile.Outer, tile.OuterCount, tile.Inner, tile.InnerCount);
            var outer = tile.Block * blocks.Outer + tile.Outer;
            var inner = tile.Block * blocks.Inner + tile.Inner;
            var outputMajor = blocks.OuterAxis == Axis.Output;
            EnergyKernels.Compute(
                view,
                weight.Law,
                weight.Scale is not null && outputMajor ? weight.Scale + outer : null,
                weight.Scale is not null && !outputMajor ? weight.Scale + inner : null,
                weight.EnergiesOf(tile.Block) + (long)tile.Outer * blocks.Inner + tile.Inner,
                blocks.Inner,
                VectorWidths.Default);
        }
    }

    private readonly struct MaxJob(CpuWeight weight, double[] largest) : IWorkerJob
    {
        public void Execute(int item, int worker)
        {
            var tile = weight.Whole.Tiles[item];
            var view = weight.Blocks.View(weight.Memory.Address, tile.Block);
            largest[item] = FiniteScan.MaxAbs(view.Slice(tile.Outer, tile.OuterCount, tile.Inner, tile.InnerCount), VectorWidths.Default);
        }
    }
}
