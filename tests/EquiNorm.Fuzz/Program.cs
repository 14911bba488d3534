// equinorm-fuzz: many cases in a row, from a seed that is printed. Cases that must not be are saved and named; the exit code counts them.
//   dotnet run -c Release --project tests/EquiNorm.Fuzz -- --cases 100000 [--seed S] [--first N] [--out DIR] [--replay CASE]...
using System.Diagnostics;
using System.Globalization;
using EquiNorm.Fuzz;

var options = new Dictionary<string, string>(StringComparer.Ordinal);
var replays = new List<string>();
for (int n = 0; n + 1 < args.Length; n += 2)
{
    if (args[n] == "--replay")
    {
        replays.Add(args[n + 1]);
    }
    else
    {
        options[args[n]] = args[n + 1];
    }
}

if (args.Length % 2 == 1 || options.Keys.Any(k => k is not ("--cases" or "--seed" or "--first" or "--out")))
{
    Console.Error.WriteLine("Usage: --cases N [--seed S] [--first N] [--out DIR] [--replay DIR]...");
    return 2;
}

int seed = Number("--seed", Random.Shared.Next(1_000_000)), first = Number("--first", 0), cases = Number("--cases", replays.Count > 0 ? 0 : 1000);
string output = options.GetValueOrDefault("--out") ?? Path.Combine(Path.GetTempPath(), "equinorm-fuzz");
string work = Directory.CreateTempSubdirectory("equinorm-fuzz-").FullName;
Console.WriteLine($"seed {seed}, cases {first} to {first + cases - 1}, findings go to {output}, the current case lies in {work}");
using var runner = new FuzzRunner(Path.Combine(work, "case"));
var counts = new int[3];
int findings = 0, current = first;
var clock = Stopwatch.StartNew();
long started = 0;

// A case that hangs cannot be stopped within its process.
using var watchdog = new Timer(_ =>
{
    if (started > 0 && Stopwatch.GetElapsedTime(Volatile.Read(ref started)) > 2 * FuzzRunner.LongestTime)
    {
        Console.Error.WriteLine($"case {current} of seed {seed} hangs; it lies in {work}");
        Environment.Exit(3);
    }
}, null, 1000, 1000);
foreach (string replay in replays)
{
    Run(FuzzCase.Load(replay), replay);
}

for (; current < first + cases; current++)
{
    Run(Fuzzer.Case(seed, current), current.ToString(CultureInfo.InvariantCulture));
    if ((current - first + 1) % 5000 == 0)
    {
        Console.WriteLine($"{current - first + 1} cases in {clock.Elapsed.TotalSeconds:F0} s, {findings} findings");
    }
}

Console.WriteLine($"{counts.Sum()} cases without a finding in {clock.Elapsed.TotalSeconds:F0} s: {counts[0]} refused, {counts[1]} read, {counts[2]} rescaled and verified. {findings} findings.");
Console.WriteLine($"Largest allocation {runner.Largest.Bytes / 1e6:F1} MB, longest case {runner.Largest.Time.TotalMilliseconds:F0} ms.");
Directory.Delete(work, recursive: true);
return findings == 0 ? 0 : 1;

void Run(FuzzCase files, string name)
{
    Volatile.Write(ref started, Stopwatch.GetTimestamp());
    if (runner.Run(files, out var outcome) is not { } finding)
    {
        counts[(int)outcome]++;
        return;
    }

    findings++;
    string folder = Path.Combine(output, $"{files.Target.ToString().ToLowerInvariant()}-{seed}-{Path.GetFileName(name)}");
    finding.Case.Save(folder);
    File.WriteAllText(folder + ".txt", finding.Problem);
    Console.WriteLine($"case {name}: {finding.Problem.Split('\n')[0]} -> {folder}");
}

int Number(string name, int missing) => options.TryGetValue(name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : missing;
