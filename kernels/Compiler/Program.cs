// Compiles every kernel to PTX, or assembles the PTX to see what it takes:
//   dotnet run -c Release --project kernels/Compiler -- [FOLDER]              (default: kernels/Ptx)
//   dotnet run -c Release --project kernels/Compiler -- --ptxas PROGRAM       (writes kernels/Ptx/registers.md)
using EquiNorm.Gpu.Kernels.Compiler;

return args is ["--ptxas", var ptxas]
    ? PtxasReport.Run("kernels/Ptx", ptxas)
    : PtxCompiler.Run(args.Length > 0 ? args[0] : "kernels/Ptx");
