// Compiles every kernel to PTX. Usage: dotnet run --project kernels/Compiler -- [FOLDER]   (default: kernels/Ptx)
using EquiNorm.Gpu.Kernels.Compiler;

return PtxCompiler.Run(args.Length > 0 ? args[0] : "kernels/Ptx");
