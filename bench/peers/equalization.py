#!/usr/bin/env python3
"""Cross-layer equalization: torch's own function beside EquiNorm, on the same ONNX files.

    python3 bench/peers/equalization.py --tool "dotnet <EquiNorm.Cli.dll>" [--threads 2] [--out FILE.md] MODEL.onnx ...

The peer is torch.ao.quantization._equalize.equalize (Nagel et al. 2019, section 4.1), as torch ships it. What it can treat, by its source: pairs of
Conv2d and Linear. The first one may have groups; the second may not (it compares the second dimension of the weight with the number of channels, which is
1 for a depthwise convolution). The first one must have a bias (it gets zeros here). A channel's range is max - min, and must not be 0. It ends when the last changes of all
weights, their 2-norms added up, are below a threshold, and not after any number of iterations; here it is also stopped after --limit seconds, and then
not run with a tighter threshold.

It is given every pair of a Conv or Gemm/MatMul whose only reader, behind Relu, poolings, Identity, Dropout and Flatten of single pixels, is such a
second one, in the order of the graph. Normalisations are folded beforehand (bench/models/int8_outputs.py). Its result is written back to the file, so
that both results are files, which the same code measures: no figure of the weights is what one of the two says of itself, but for the residual
of the whole network, which `equinorm inspect --norm inf` computes for both.

EquiNorm: --norm inf with all channels frozen that torch does not treat, then with all channels, then the default, norm 2.
Exit code 1 if the outputs of one of EquiNorm's files are not those of the original within 2e-5 of the largest.
"""
import argparse
import dataclasses
import datetime
import math
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
import torch
import torch.ao.quantization._equalize as peer
from onnx import numpy_helper
from torch import nn

from machine import ROOT, commit, processor

sys.path.insert(0, str(ROOT / "bench" / "models"))
import int8_outputs  # noqa: E402
import onnx_torch  # noqa: E402
from common import LIMIT, SEED, deviation, run_opencv, tool  # noqa: E402

# torch's OpenMP threads go on spinning behind its operations, on cores that the other side needs.
PAUSE = 0.3
PASSING = ("Relu", "MaxPool", "AveragePool", "GlobalAveragePool", "Identity", "Dropout", "Flatten")


@dataclasses.dataclass(frozen=True)
class Layer:
    """A convolution or dense layer: names of its stored weight and bias, whether the weight is stored as [in, out]."""

    weight: str
    bias: str
    transposed: bool

    def read(self, tensors):
        """The weight as [out, in, ...]."""
        values = numpy_helper.to_array(tensors[self.weight])
        return values.T if self.transposed else values


def stored(model):
    return {t.name: t for t in model.graph.initializer}


def layer_of(node, tensors, uses):
    """The node as a layer that torch has a module for, or None."""
    a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
    names = [*node.input, ""]
    dense = node.op_type == "Gemm" and a.get("alpha", 1.0) == 1 and a.get("beta", 1.0) == 1 and not a.get("transA", 0) or node.op_type == "MatMul"
    if not dense and node.op_type != "Conv" or names[1] not in tensors or any(n and (n not in tensors or uses[n] > 1) for n in names[1:3]):
        return None
    if len(tensors[names[1]].dims) != (2 if dense else 4):
        return None
    return Layer(names[1], names[2] if len(names) > 3 else "", dense and not a.get("transB", 0))


def pairs_of(model):
    """Pairs of layers that torch's function can treat, in the order of the graph."""
    graph, tensors = model.graph, stored(model)
    readers, uses = {}, {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
            uses[name] = uses.get(name, 0) + 1
    ends = {o.name for o in graph.output}
    found = []
    for node in graph.node:
        first, value, single = layer_of(node, tensors, uses), node.output[0], node.op_type != "Conv"
        while first and value not in ends and uses.get(value) == 1:
            reader = readers[value][0]
            if reader.op_type not in PASSING or reader.op_type == "Flatten" and not single:
                second = layer_of(reader, tensors, uses)
                if second and reader.input[0] == value and second.read(tensors).shape[1] == first.read(tensors).shape[0]:
                    found.append((first, second))
                break
            single |= reader.op_type == "GlobalAveragePool"
            value = reader.output[0]
    return found


def module_of(layer, tensors):
    weight = torch.from_numpy(layer.read(tensors).copy())
    outputs, inputs = weight.shape[:2]
    module = nn.Linear(inputs, outputs) if weight.dim() == 2 else nn.Conv2d(inputs, outputs, weight.shape[2:])
    module.weight = nn.Parameter(weight)
    bias = numpy_helper.to_array(tensors[layer.bias]).reshape(-1).copy() if layer.bias else np.zeros(outputs, np.float32)
    module.bias = nn.Parameter(torch.from_numpy(bias))
    return module


def modules_of(pairs, tensors):
    """The layers as modules, and the pairs as torch's function wants them."""
    layers = list(dict.fromkeys(layer for pair in pairs for layer in pair))
    names = {layer: str(n) for n, layer in enumerate(layers)}
    return layers, nn.Sequential(*(module_of(l, tensors) for l in layers)), [[names[a], names[b]] for a, b in pairs]


class OutOfTime(Exception):
    pass


def equalize(modules, pairs, threshold, limit):
    """Seconds, iterations, and whether torch's function came to its end by itself."""
    calls, original, end = 0, peer.converged, time.perf_counter() + limit

    def counted(*arguments):
        nonlocal calls
        calls += 1
        if time.perf_counter() > end:
            raise OutOfTime
        return original(*arguments)

    peer.converged = counted
    start = time.perf_counter()
    try:
        with torch.no_grad():
            peer.equalize(modules, pairs, threshold)
        ended = True
    except OutOfTime:
        ended = False
    finally:
        peer.converged = original
    return time.perf_counter() - start, calls - 1, ended


def write_back(model, layers, modules, path):
    result = onnx.ModelProto()
    result.CopyFrom(model)
    tensors = stored(result)
    for layer, module in zip(layers, modules):
        weight = module.weight.detach().numpy()
        for name, values in ((layer.weight, weight.T if layer.transposed else weight), (layer.bias, module.bias.detach().numpy())):
            if name:
                tensors[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values).reshape(tuple(tensors[name].dims)), name))
    onnx.save(result, path)


def by_torch(source, threshold, arguments, path):
    """Times of torch's function and of everything from file to file; medians, or one run if that was stopped."""
    times, wholes = [], []
    for _ in range(arguments.rounds):
        time.sleep(PAUSE)
        start = time.perf_counter()
        model = int8_outputs.fold(onnx.load(source))
        layers, modules, pairs = modules_of(pairs_of(model), stored(model))
        spent, iterations, ended = equalize(modules, pairs, threshold, arguments.limit)
        write_back(model, layers, modules, path)
        times.append(spent)
        wholes.append(time.perf_counter() - start)
        if not ended:
            break
    return {"solve": statistics.median(times), "whole": statistics.median(wholes), "sweeps": f"{iterations}" if ended else f"stopped at {iterations}"}


def by_equinorm(source, norm, frozen, arguments, path):
    """Times of the solver, just-in-time compiled, and of the whole process; medians."""
    times, wholes = [], []
    time.sleep(PAUSE)
    for _ in range(arguments.rounds):
        start = time.perf_counter()
        code, report = tool(arguments.tool, "rescale", source, "-o", path, "--norm", norm, *options(frozen, arguments))
        wholes.append(time.perf_counter() - start)
        assert code == 0, report
        times.append(report["seconds"]["solve"])
    return {"solve": statistics.median(times), "whole": statistics.median(wholes), "sweeps": f"{report['sweeps']:.1f}"}


def warm(source, norms, frozen, arguments):
    """Medians of the solver's times for each norm, behind a solve for norm 1 in the same process."""
    time.sleep(PAUSE)
    rounds = [tool(arguments.tool, "compare", source, "--norms", ",".join(["1", *norms]), *options(frozen, arguments))[1] for _ in range(arguments.rounds)]
    return {norm: statistics.median(r["norms"][1 + n]["seconds"] for r in rounds) for n, norm in enumerate(norms)}


def options(frozen, arguments):
    return ["--threads", str(arguments.threads), "--backend", "cpu", *(word for name in frozen for word in ("--freeze", name))]


def others(source, pairs, arguments):
    """The free groups that are not a pair of torch's, to be frozen, and the number of channels in those that are, and in all."""
    _, report = tool(arguments.tool, "inspect", source)
    wanted = {((a.weight,), (b.weight,)) for a, b in pairs}
    frozen, treated, free = [], 0, 0
    for group in report["groups"]:
        if group["pinnedBecause"] is None:
            kept = (tuple(group["sources"]), tuple(group["sinks"])) in wanted
            free, treated = free + group["channels"], treated + kept * group["channels"]
            frozen += [] if kept else [group["name"]]
    return frozen, treated, free


def imbalance(pairs, tensors, size):
    """max |log(r1 / r2)| over the channels of the pairs that have both, r by max |w| or max - min."""
    worst = 0.0
    for first, second in pairs:
        a = first.read(tensors).astype(np.float64)
        b = second.read(tensors).astype(np.float64)
        r1, r2 = size(a.reshape(a.shape[0], -1)), size(np.moveaxis(b, 1, 0).reshape(b.shape[1], -1))
        both = (r1 > 0) & (r2 > 0)
        worst = max(worst, float(np.abs(np.log(r1[both] / r2[both])).max(initial=0)))
    return worst


def measured(path, source, pairs, arguments, image):
    """The figures of a file, beside the original's outputs; None if its weights are not finite."""
    model = onnx.load(path)
    tensors = stored(model)
    noises, largest = [], 0.0
    for tensor, _ in int8_outputs.weights(model):
        w = numpy_helper.to_array(tensor).astype(np.float64)
        top = np.abs(w).max()
        if top == 0:
            continue
        q = np.rint(w * (127 / top)) * (top / 127)
        largest += top
        noises.append(10 * math.log10((w * w).sum() / ((w - q) ** 2).sum()))
    if not math.isfinite(largest):
        return None
    _, survey = tool(arguments.tool, "inspect", path, "--norm", "inf")
    before, after = run_opencv(source, image), run_opencv(path, image)
    engine = "OpenCV"
    if before is None or after is None:
        engine, before, after = "interpreter", onnx_torch.run(source, torch.from_numpy(image)), onnx_torch.run(path, torch.from_numpy(image))
    return {
        "pairs": imbalance(pairs, tensors, lambda r: np.abs(r).max(1)),
        "ranges": imbalance(pairs, tensors, lambda r: r.max(1) - r.min(1)),
        "network": survey["residual"],
        "largest": largest,
        "mean": statistics.mean(noises),
        "worst": min(noises),
        "outputs": deviation(before, after),
        "engine": engine,
    }


def compare(source, arguments, folder):
    """The rows of one network."""
    print(source, file=sys.stderr)
    folded = int8_outputs.fold(onnx.load(source))
    base = os.path.join(folder, "folded.onnx")
    onnx.save(folded, base)
    pairs = pairs_of(folded)
    frozen, treated, free = others(source, pairs, arguments)
    shape = [d.dim_value or 1 for d in folded.graph.input[0].type.tensor_type.shape.dim]
    image = np.random.default_rng(SEED).standard_normal(shape).astype(np.float32)
    flat = sum(int((np.ptp(a.read(stored(folded)).reshape(len(a.read(stored(folded))), -1), axis=1) == 0).sum()) for a, _ in pairs)
    result = os.path.join(folder, "result.onnx")
    rows = [("as it is, folded", {}, measured(base, source, pairs, arguments, image), 0)]
    for threshold in sorted(arguments.thresholds, reverse=True) if pairs else ():
        times = by_torch(source, threshold, arguments, result)
        rows.append((f"torch, threshold {threshold:g}", times, measured(result, source, pairs, arguments, image), treated))
        if times["sweeps"].startswith("stopped"):
            break  # a tighter threshold would go the same way
    for label, names, norms, channels in ((", the same channels", frozen, ["inf"], treated), ("", (), ["inf", "2"], free)):
        differs = channels and (frozen or not label)  # without others the same channels are all
        behind = warm(source, norms, names, arguments) if differs else {}
        for norm, seconds in behind.items():
            times = {**by_equinorm(source, norm, names, arguments, result), "warm": seconds}
            rows.append((f"EquiNorm, norm {norm}{label}", times, measured(result, source, pairs, arguments, image), channels))
    return {"name": os.path.splitext(os.path.basename(source))[0], "rows": rows, "pairs": len(pairs), "treated": treated, "free": free, "flat": flat}


def start_of_torch():
    """Starting Python and importing what the peer needs."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import onnx, torch, torch.ao.quantization._equalize"], check=True)
    return time.perf_counter() - start


def markdown(results, start, arguments):
    yield "# Cross-layer equalization: torch's function and EquiNorm"
    yield ""
    given = " ".join(os.path.basename(m) for m in arguments.models)
    yield f"`python3 bench/peers/equalization.py --tool equinorm --threads {arguments.threads} --rounds {arguments.rounds} --limit {arguments.limit:g} {given}`"
    yield ""
    yield f"- {processor()}, {arguments.threads} threads; torch {torch.__version__}, Python {platform.python_version()}; commit {commit()}, {datetime.date.today()}"
    yield (
        f"- medians of {arguments.rounds} runs. *solve*: torch's `equalize`, and EquiNorm's solve, in a process of its own and so with its just-in-time compilation; "
        "*warm*: EquiNorm's solve behind one for norm 1 in the same process (`equinorm compare`). *whole*: from file to file; for torch within a running "
        f"process (starting Python and importing torch takes {1e3 * start:.0f} ms more), for EquiNorm the whole process"
    )
    yield (
        "- *residual*: max |log(r1 / r2)| over channels, r1 the size of what writes the channel, r2 of what reads it: of torch's pairs by max |w| (what EquiNorm balances) and by "
        "max - min (what torch balances); and by max |w| over all free channels of the network. *largest*: the sum over weights of max |w|. *int8*: decibels of the weights, one "
        "scale for a tensor. *outputs*: largest deviation from the original's, in its largest"
    )
    yield f"- torch is stopped after {arguments.limit:g} s; its time is then that of one run, its figures those of the weights at that point, and no tighter threshold is tried"
    yield ""
    yield (
        "| network | method | channels | solve [ms] | warm [ms] | whole [ms] | iterations, sweeps | residual of pairs, max abs | of pairs, max - min | of the network, max abs "
        "| largest | int8 mean [dB] | int8 worst [dB] | outputs |"
    )
    yield "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    for r in results:
        for label, times, m, channels in r["rows"]:
            shown = [f"{1e3 * times[k]:.1f}" if k in times else "" for k in ("solve", "warm", "whole")]
            figures = "weights not finite | | | | | | " if m is None else (
                f"{m['pairs']:.1e} | {m['ranges']:.1e} | {m['network']:.1e} | {m['largest']:.5g} | {m['mean']:.1f} | {m['worst']:.1f} | {m['outputs']:.1e}"
            )
            yield f"| {r['name']} | {label} | {channels or ''} | {' | '.join(shown)} | {times.get('sweeps', '')} | {figures} |"
    yield ""
    for r in results:
        engines = {m["engine"] for _, _, m, _ in r["rows"] if m}
        flat = f"; {r['flat']} channels have a range max - min of 0, which torch divides by" if r["flat"] else ""
        yield f"- {r['name']}: torch can treat {r['pairs']} pairs with {r['treated']} of {r['free']} free channels{flat}; outputs by {' and '.join(sorted(engines))}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", metavar="MODEL.onnx")
    parser.add_argument("--tool", required=True, help="the command of the built tool")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--thresholds", type=float, nargs="+", default=[1e-4, 1e-8])
    parser.add_argument("--limit", type=float, default=15, metavar="SECONDS", help="torch's function is stopped after this time")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file; standard output without it")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    start, results = start_of_torch(), []
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            results.append(compare(model, arguments, folder))
            text = "\n".join(markdown(results, start, arguments)) + "\n"
            if arguments.out:
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(text)
    if not arguments.out:
        print(text, end="")
    moved = [f"{r['name']}: {label}" for r in results for label, _, m, _ in r["rows"] if label.startswith("EquiNorm") and not (m and m["outputs"] <= LIMIT)]
    sys.exit(f"outputs moved by more than {LIMIT}: {'; '.join(moved)}" if moved else 0)


if __name__ == "__main__":
    main()
