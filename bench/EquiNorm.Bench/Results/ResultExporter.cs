using BenchmarkDotNet.Exporters;
using BenchmarkDotNet.Loggers;
using BenchmarkDotNet.Reports;

namespace EquiNorm.Bench.Results;

/// <summary>Writes the table of a class to Class.md, below a header with machine, .NET, commit and the command that makes it again.</summary>
/// <param name="folder">Where; is created.</param>
internal sealed class ResultExporter(string folder) : IExporter
{
    // The files themselves change the tree while classes are run.
    private readonly string _commit = RunFacts.Commit();

    public string Name => nameof(ResultExporter);

    public void ExportToLog(Summary summary, ILogger logger)
    {
        var type = summary.BenchmarksCases[0].Descriptor.Type.Name;
        logger.WriteLine($"# {type}");
        logger.WriteLine();
        logger.WriteLine($"- {RunFacts.Runtime()}, {Environment.ProcessorCount} processors");
        logger.WriteLine($"- commit {_commit}, {DateTime.UtcNow:yyyy-MM-dd}, {summary.TotalTime.TotalMinutes.ToString("F1", RunFacts.Culture)} minutes");
        logger.WriteLine($"- `dotnet run -c Release --project bench/EquiNorm.Bench -- results DIR --filter '*.{type}.*'`");
        logger.WriteLine();
        MarkdownExporter.GitHub.ExportToLog(summary, logger);
    }

    public IEnumerable<string> ExportToFiles(Summary summary, ILogger consoleLogger)
    {
        if (!summary.Reports.Any(r => r.Success))
        {
            return [];
        }

        Directory.CreateDirectory(folder);
        var path = Path.Combine(folder, summary.BenchmarksCases[0].Descriptor.Type.Name + ".md");
        var text = new StringLogger();
        ExportToLog(summary, text);
        File.WriteAllText(path, text.Text.ReplaceLineEndings("\n").TrimEnd() + "\n");
        return [path];
    }

    private sealed class StringLogger : ILogger
    {
        private readonly System.Text.StringBuilder _text = new();

        public string Text => _text.ToString();

        public string Id => nameof(StringLogger);

        public int Priority => 0;

        public void Write(LogKind logKind, string text) => _text.Append(text);

        public void WriteLine() => _text.Append('\n');

        public void WriteLine(LogKind logKind, string text) => _text.Append(text).Append('\n');

        public void Flush()
        {
        }
    }
}
