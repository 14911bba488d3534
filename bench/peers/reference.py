#!/usr/bin/env python3
"""Times EquiNorm beside the reference implementation of Equi-normalization, with torch, in one process, on the same weights.

    python3 bench/peers/reference.py --enorm CHECKOUT [--networks 15x500 conv-net vgg16] [--threads 2] [--device cpu|cuda] [--out FILE.md]

CHECKOUT is a clone of github.com/facebookresearch/enorm; its enorm/enorm/enorm.py is imported as it is. EquiNorm is the Python package of this
repository on the native library (dotnet publish src/EquiNorm.Native -c Release -r linux-x64).

Step: medians over rounds, in batches that take turns. The reference leaves the last hidden layer alone and moves no momentum in dense networks.

Optimum: how many of the reference's updates (all norms of a step are taken at its start) reach 1e-6 above the optimum, if the last hidden layer
took part. They are counted in exact factors, u += log(b / a) / 4 for all groups at once, in float64; "run" says what happened when the code itself was
iterated on float32 weights, with a further weight behind the last one so that the last hidden layer is balanced, too. Its weights are
rounded at every step, so it may stall above 1e-6. Networks above --run-below MB are not run; their time is updates x median step.

Networks: 15x500 (3072, fifteen hidden layers of 500, 10), the paper's conv net, VGG-16 with its dense layers written as 7x7 and 1x1 convolutions
(the reference takes either dense or 4-dimensional weights). Kaiming normal, made unequal by exp(N(0, 1.5^2)) for each hidden channel.
"""

import argparse
import copy
import datetime
import importlib.util
import math
import pathlib
import platform
import statistics
import sys
import time

import torch
from torch import nn

from machine import ROOT, commit, processor

sys.path.insert(0, str(ROOT / "python"))
import equinorm  # noqa: E402

# Each side runs in batches, after a pause: OpenMP's threads go on spinning behind torch's operations, on cores that the other side needs.
BATCH = 7
PAUSE = 0.3

CONV_NET = [(128, 3), (128, 3), (128, 3), (256, 3), (256, 3), (256, 3), (320, 3), (320, 1), (10, 1)]
VGG16 = [(w, 3) for w in (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)] + [(4096, 7), (4096, 1), (1000, 1)]


def layers(name):
    """Modules without activations, in order, and the reference's model type."""
    if name == "15x500":
        widths = [3072] + [500] * 15 + [10]
        return [nn.Linear(i, o, bias=False) for i, o in zip(widths, widths[1:])], "linear"
    modules, channels = [], 3
    for width, kernel in {"conv-net": CONV_NET, "vgg16": VGG16}[name]:
        modules.append(nn.Conv2d(channels, width, kernel, bias=False))
        channels = width
    return modules, "conv"


def network(name, device, seed=1):
    """A chain with ReLU in between, with unequal channels, and the reference's model type."""
    generator = torch.Generator().manual_seed(seed)
    modules, kind = layers(name)
    scale = torch.ones(modules[0].weight.shape[1], dtype=torch.float64)
    for module in modules:
        weight = module.weight
        last = module is modules[-1]
        outputs = weight.shape[0]
        following = torch.ones(outputs, dtype=torch.float64) if last else torch.exp(1.5 * torch.randn(outputs, generator=generator, dtype=torch.float64))
        deviation = math.sqrt(2 / (weight[0].numel()))
        with torch.no_grad():
            values = torch.randn(weight.shape, generator=generator) * deviation
            shape = [1] * (weight.dim() - 2)
            weight.copy_(values * following.view(-1, 1, *shape) / scale.view(1, -1, *shape))
        scale = following
    chain = [m for module in modules for m in (module, nn.ReLU())][:-1]
    return nn.Sequential(*chain).to(device), kind


def optimizer_of(model, momentum):
    """SGD with a momentum buffer for every parameter, as after a step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0, momentum=momentum)
    if momentum:
        for p in model.parameters():
            optimizer.state[p]["momentum_buffer"] = torch.full_like(p, 0.5)
    return optimizer


def clock(device):
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def timed(action, device):
    start = clock(device)
    action()
    return 1e3 * (clock(device) - start)


def objective(model):
    return sum(float(p.detach().double().pow(2).sum()) for p in model.parameters())


def updates_to(model, optimum, gap, limit=20000):
    """How many steps of the reference's order reach the gap, in exact factors, or None within the limit."""
    energies = [p.detach().double().pow(2).flatten(2).sum(2) if p.dim() > 2 else p.detach().double().pow(2) for p in model.parameters()]
    logs = [torch.zeros(e.shape[0], dtype=torch.float64, device=e.device) for e in energies]
    pinned_in = torch.zeros(energies[0].shape[1], dtype=torch.float64, device=energies[0].device)
    for count in range(limit + 1):
        rows = []
        for n, energy in enumerate(energies):
            before = pinned_in if n == 0 else logs[n - 1]
            rows.append(torch.exp(2 * logs[n]) * (energy @ torch.exp(-2 * before)))
        if float(sum(r.sum() for r in rows)) / optimum - 1 <= gap:
            return count
        columns = [torch.exp(-2 * logs[n]) * (energies[n + 1].t() @ torch.exp(2 * logs[n + 1])) for n in range(len(energies) - 1)]
        for n in range(len(energies) - 1):
            logs[n] = logs[n] + torch.log(columns[n] / rows[n]) / 4
    return None


def reference(enorm, model, optimizer, kind, whole=False):
    """The reference's stepper; `whole` adds a weight behind the last, so that all hidden layers are balanced."""
    parameters = list(model.named_parameters())
    if whole:
        last = parameters[-1][1]
        shape = (1, last.shape[0]) if kind == "linear" else (1, last.shape[0], 1, 1)
        behind = nn.Parameter(torch.ones(shape, device=last.device))
        parameters.append(("behind.weight", behind))
    return enorm.ENorm(parameters, optimizer, kind, c=1, p=2)


def compare(name, enorm, arguments):
    device = arguments.device
    model, kind = network(name, device)
    megabytes = 4e-6 * sum(p.numel() for p in model.parameters())
    print(f"{name}: {megabytes:.1f} MB", file=sys.stderr)
    result = {"network": name, "MB": megabytes}

    for label, momentum in (("step", 0.0), ("momentum", 0.9)):
        if momentum and kind == "linear":
            continue  # its dense path does not move the momentum
        theirs_model, ours_model = copy.deepcopy(model), copy.deepcopy(model)
        theirs = reference(enorm, theirs_model, optimizer_of(theirs_model, momentum), kind)
        ours = equinorm.EquiNorm(ours_model, optimizer_of(ours_model, momentum), threads=arguments.threads)
        times = [[], []]
        for first in range(0, arguments.rounds, BATCH):
            for side, step in enumerate((theirs.step, ours.step)):
                time.sleep(PAUSE)
                batch = [timed(step, device) for _ in range(1 + min(BATCH, arguments.rounds - first))]
                times[side] += batch[1:]
        result[label] = tuple(statistics.median(t) for t in times)
        ours.close()

    solved = copy.deepcopy(model)
    with equinorm.EquiNorm(solved, threads=arguments.threads) as enormer:
        times = []
        for _ in range(arguments.rounds):
            with torch.no_grad():
                for p, q in zip(solved.parameters(), model.parameters()):
                    p.copy_(q)
            time.sleep(PAUSE)
            times.append(timed(lambda: result.__setitem__("solved", enormer.solve(tolerance=1e-8)), device))
        result["solve"] = statistics.median(times)
    exact = copy.deepcopy(model).double()
    with equinorm.EquiNorm(exact, threads=arguments.threads) as enormer:
        optimum = enormer.solve(tolerance=1e-11).objective
    del exact

    result["updates"] = updates_to(model, optimum, 1e-6)
    if megabytes <= arguments.run_below and result["updates"] is not None:
        iterated = copy.deepcopy(model)
        step = reference(enorm, iterated, optimizer_of(iterated, 0.0), kind, whole=True)
        spent, lowest = 0.0, math.inf
        for count in range(1, 2 * result["updates"] + 50):
            spent += timed(step.step, device)
            if count % 10 == 0 or count >= result["updates"]:
                lowest = min(lowest, objective(iterated) / optimum - 1)
                if lowest <= 1e-6:
                    break
        result["run"] = (count, spent, lowest)
    return result


def markdown(results, arguments):
    yield "# EquiNorm beside the reference implementation"
    yield ""
    yield "`python3 bench/peers/reference.py --enorm CHECKOUT`"
    yield ""
    where = torch.cuda.get_device_name() if arguments.device == "cuda" else f"{processor()}, {arguments.threads} threads"
    yield f"- {where}; torch {torch.__version__}, Python {platform.python_version()}; commit {commit()}, {datetime.date.today()}"
    yield f"- float32, p = 2; medians of {arguments.rounds} rounds; EquiNorm through its Python package and native library"
    yield "- reference: github.com/facebookresearch/enorm; its step leaves the last hidden layer alone"
    yield ""
    yield "| network | weights [MB] | reference step [ms] | EquiNorm step [ms] | ratio | with momentum: reference | EquiNorm | ratio |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for r in results:
        theirs, ours = r["step"]
        momentum = r.get("momentum")
        tail = f"{momentum[0]:.2f} | {momentum[1]:.2f} | {momentum[0] / momentum[1]:.1f}" if momentum else "not moved | | "
        yield f"| {r['network']} | {r['MB']:.1f} | {theirs:.2f} | {ours:.2f} | {theirs / ours:.1f} | {tail} |"
    yield ""
    yield (
        "| network | reference: updates to 1e-6 | time [ms] | EquiNorm: solve to 1e-8 and apply [ms] | sweeps | certified gap | ratio of times "
        "| solve / one reference step | reference run on float32 |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|---:|---|"
    for r in results:
        solved, run = r["solved"], r.get("run")
        if r["updates"] is None:
            iterated, ratio = None, "not reached"
        else:
            iterated = run[1] if run and run[2] <= 1e-6 else r["updates"] * r["step"][0]
            ratio = f"{iterated / r['solve']:.0f}"
        said = (
            "not run" if not run else f"{run[0]} updates, {run[1]:.0f} ms" if run[2] <= 1e-6
            else f"stalls: {run[2]:.1e} above the optimum is the best of {run[0]} updates"
        )
        shown = "" if iterated is None else f"{iterated:.0f}"
        yield (
            f"| {r['network']} | {r['updates']} | {shown} | {r['solve']:.2f} | {solved.sweeps:.1f} | {solved.gap_bound:.1e} | {ratio} "
            f"| {r['solve'] / r['step'][0]:.2f} | {said} |"
        )
    yield ""
    yield (
        "Updates of the reference are counted in exact factors, with the last hidden layer taking part; its time is that of the run on float32 weights where "
        "that reached 1e-6, else updates x median step. A solve is from the weights as they are, certificate and application included."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--enorm", required=True, type=pathlib.Path, help="a clone of facebookresearch/enorm, or its enorm.py")
    parser.add_argument("--networks", nargs="+", default=["15x500", "conv-net", "vgg16"], choices=["15x500", "conv-net", "vgg16"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    parser.add_argument("--run-below", type=float, default=100, metavar="MB", help="iterate the reference to the optimum on networks up to this size")
    parser.add_argument("--out", type=pathlib.Path, help="Markdown file; standard output without it")
    arguments = parser.parse_args()
    source = arguments.enorm if arguments.enorm.is_file() else arguments.enorm / "enorm" / "enorm" / "enorm.py"
    if not source.is_file():
        parser.error(f"{source} is not there: --enorm names a clone of github.com/facebookresearch/enorm")
    spec = importlib.util.spec_from_file_location("reference_enorm", source)
    enorm = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(enorm)
    torch.set_num_threads(arguments.threads)
    text = "\n".join(markdown([compare(n, enorm, arguments) for n in arguments.networks], arguments)) + "\n"
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
    else:
        print(text, end="")


if __name__ == "__main__":
    main()
