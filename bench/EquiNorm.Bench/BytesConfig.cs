using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;

namespace EquiNorm.Bench;

/// <summary>Adds the columns that a time must be read with: the size of the weights, and the bytes that have to move.</summary>
public sealed class BytesConfig : ManualConfig
{
    /// <summary>Creates the configuration.</summary>
    public BytesConfig()
    {
        AddColumn(new MegabytesColumn("weights [MB]", "Bytes of all weights.", _ => 1), new MegabytesColumn("floor [MB]", "3 |W|, 5 |W| with momentum: the bytes that a step must move.", FloorFactor));
        HideColumns(Column.Error, Column.StdDev, Column.RatioSD);
    }

    private static int FloorFactor(BenchmarkCase benchmarkCase) =>
        benchmarkCase.Parameters.Items.Any(p => p.Name == nameof(StepBenchmark.Momentum) && p.Value is true) ? 5 : 3;

    private sealed class MegabytesColumn(string name, string legend, Func<BenchmarkCase, int> factor) : IColumn
    {
        private static readonly Dictionary<string, long> Sizes = [];

        public string Id => name;

        public string ColumnName => name;

        public bool AlwaysShow => true;

        public ColumnCategory Category => ColumnCategory.Metric;

        public int PriorityInCategory => 0;

        public bool IsNumeric => true;

        public UnitType UnitType => UnitType.Dimensionless;

        public string Legend => legend;

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase)
        {
            var network = (string)benchmarkCase.Parameters["Network"];
            if (!Sizes.TryGetValue(network, out var bytes))
            {
                Sizes.Add(network, bytes = StandardNetworks.Shape(network).Weights.Sum(w => w.Layout.Elements * sizeof(float)));
            }

            return (factor(benchmarkCase) * bytes / 1e6).ToString("F1", System.Globalization.CultureInfo.InvariantCulture);
        }

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) => GetValue(summary, benchmarkCase);

        public bool IsAvailable(Summary summary) => true;

        public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;
    }
}
