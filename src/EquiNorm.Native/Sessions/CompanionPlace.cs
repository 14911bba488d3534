using EquiNorm.Model;

namespace EquiNorm.Native.Sessions;

/// <summary>Where a companion is bound.</summary>
/// <param name="Weight">Index of its weight.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Slot">Tells several of one kind apart.</param>
internal readonly record struct CompanionPlace(int Weight, CompanionKind Kind, int Slot);
