#!/usr/bin/env python3
"""Rescales torch state dicts as safetensors files and checks that torch computes the same with them.

    python3 safetensors_torch.py --tool "dotnet <EquiNorm.Cli.dll>" [--out DIR] [NAME ...]

Each network of networks.py is exported with its parameters' own names, described by `equinorm describe`, and its state dict written as one
safetensors file, or as three shards with an index, in float32, bfloat16 and float16 (the network runs with the rounded numbers before and after). The
rescaled file is read back into the network, and its outputs in float64 are compared. Reading and writing is done here in a few lines of numpy,
apart from the product; with the package `safetensors` installed, its reader must agree. Needs torch, torchvision, onnx, numpy.

Limits. float32: 2e-5 of the largest output. A type of b significant bits (bfloat16: 8, float16: 11) rounds a product w d by half a unit in its last
place, at most 2^-b of it, and nothing else may happen to a weight. So the same numbers are rescaled as float32, too, where the outputs must agree to
2e-5, and each element of the narrow file must lie within half a unit (and 2^-10 of that, for float32's own rounding) of that float32.
What one rounding of every changed weight does to the outputs is measured, not assumed: each is multiplied by a random factor in [1, 2), rounded and
divided again, 16 times. Roundings are independent of each other and small, so the error of an output is close to normal with the deviation of these
16; four times their root mean square is left by chance once in a thousand runs (Student's t, 16 degrees of freedom), and these seeds are fixed.
"""
import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import warnings

import numpy as np
import torch

from common import LIMIT, SEED, deviation, tool
from networks import NETWORKS, prepare

warnings.filterwarnings("ignore", module="torch.onnx")
TYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
WORDS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
BITS = {torch.float16: 11, torch.bfloat16: 8}
SMALLEST = {torch.float16: 2.0 ** -24, torch.bfloat16: 2.0 ** -133}
CONTROLS, TIMES = 16, 4
DEFAULT = ("resnet18", "mobilenet_v2", "squeezenet1_1", "shufflenet_v2_x0_5")


def raw(tensor):
    """The bytes of a tensor; numpy of this torch knows no bfloat16."""
    tensor = tensor.detach().contiguous()
    return (tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor).numpy().tobytes()


def write(path, tensors, metadata):
    header, data = {"__metadata__": metadata}, []
    position = 0
    for name, tensor in tensors.items():
        data.append(raw(tensor))
        header[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [position, position + len(data[-1])]}
        position += len(data[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text + b"".join(data))


def read(path):
    with open(path, "rb") as file:
        content = file.read()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8:8 + length])
    metadata = header.pop("__metadata__", {})
    types = {text: kind for kind, text in TYPES.items()}
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = types[entry["dtype"]]
        array = np.frombuffer(content[8 + length + begin:8 + length + end], {"I64": "<i8", "F64": "<f8", "F32": "<f4"}.get(entry["dtype"], "<i2"))
        tensor = torch.from_numpy(array.copy())
        tensors[name] = (tensor.view(kind) if tensor.dtype != kind else tensor).reshape(entry["shape"])
    return tensors, metadata


def agrees_with_package(path, tensors):
    try:
        from safetensors.torch import load_file
    except ImportError:
        return "not installed"
    theirs = load_file(path)
    return "agrees" if theirs.keys() == tensors.keys() and all(torch.equal(theirs[n], t) for n, t in tensors.items()) else "DIFFERS"


def outputs(network, tensors, image):
    network.load_state_dict({n: t.double() if t.is_floating_point() else t for n, t in tensors.items()})
    with torch.no_grad():
        return network.double().eval()(image.double()).numpy()


def save(folder, tensors, shards):
    if shards == 1:
        path = os.path.join(folder, "model.safetensors")
        write(path, tensors, {"format": "pt"})
        return path
    path = os.path.join(folder, "model.safetensors.index.json")
    where = {}
    for n in range(shards):
        name = f"model-{n + 1:05}-of-{shards:05}.safetensors"
        part = {k: t for i, (k, t) in enumerate(tensors.items()) if i * shards // len(tensors) == n}
        write(os.path.join(folder, name), part, {"format": "pt"})
        where.update({k: name for k in part})
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"metadata": {"total_size": sum(len(raw(t)) for t in tensors.values())}, "weight_map": where}, file)
    return path


def load(path):
    if path.endswith(".safetensors"):
        return read(path)[0]
    with open(path, encoding="utf-8") as file:
        names = set(json.load(file)["weight_map"].values())
    return {k: t for n in sorted(names) for k, t in read(os.path.join(os.path.dirname(path), n))[0].items()}


def described(folder, network, image, options):
    """What `equinorm describe` says of the network's export."""
    onnx, description = os.path.join(folder, "model.onnx"), os.path.join(folder, "net.json")
    torch.onnx.export(network, image, onnx, opset_version=13, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=True)
    run = subprocess.run([*shlex.split(options.tool), "describe", onnx, "-o", description], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with open(description, encoding="utf-8") as file:
        return file.read()


def rescale(folder, tensors, kind, shards, text, options):
    """Both reports, both exit codes, the path and the tensors of the rescaled file."""
    description = os.path.join(folder, "net.json")
    with open(description, "w", encoding="utf-8") as file:
        file.write(text.replace('"float32"', f'"{WORDS[kind]}"'))
    source = save(folder, tensors, shards)
    result = os.path.join(folder, "rescaled")
    os.makedirs(result, exist_ok=True)
    target = os.path.join(result, os.path.basename(source))
    code, report = tool(options.tool, "rescale", source, "--network", description, "-o", target)
    verified, verification = tool(options.tool, "verify", source, target, "--network", description)
    return report, verification, (code, verified), target, load(target)


def roundings(narrow, wide, kind):
    """The largest distance of an element from what it is in float32, in halves of a unit in the last place."""
    worst = 0.0
    for name, values in narrow.items():
        if values.dtype == kind:
            exact = wide[name].double()
            binade = torch.where(exact == 0, 0.0, torch.exp2(torch.frexp(exact).exponent.double() - 1))
            allowed = torch.clamp(binade * 2.0 ** -BITS[kind], min=SMALLEST[kind] / 2)
            worst = max(worst, float(((values.double() - exact).abs() / allowed).max()))
    return worst


def control(network, tensors, changed, image, before, kind):
    """Root mean square of the outputs' deviation over random roundings of the changed tensors."""
    generator = torch.Generator().manual_seed(SEED)
    squares = []
    for _ in range(CONTROLS):
        rounded = dict(tensors)
        for name in changed:
            factor = 1 + torch.rand(tensors[name].shape, generator=generator, dtype=torch.float64)
            rounded[name] = (tensors[name].double() * factor).to(kind).double() / factor
        squares.append(deviation(before, outputs(network, rounded, image)) ** 2)
    return float(np.sqrt(np.mean(squares)))


def check(name, kind, shards, options):
    build, shape = NETWORKS[name]
    torch.manual_seed(SEED)
    network, image = prepare(build(), shape)
    folder = os.path.join(options.out, f"safetensors-{name}-{WORDS[kind]}-{shards}")
    os.makedirs(folder, exist_ok=True)
    text = described(folder, network, image, options)
    tensors = {n: t.to(kind) if t.is_floating_point() else t for n, t in network.state_dict().items()}
    before = outputs(network, tensors, image)
    report, verification, codes, target, rescaled = rescale(folder, tensors, kind, shards, text, options)
    moved = deviation(before, outputs(network, rescaled, image))
    changed = [n for n, t in tensors.items() if not torch.equal(rescaled[n], t)]
    row = {
        "network": name, "type": WORDS[kind], "files": shards, "tensors": len(tensors), "changed": len(changed),
        "channels": report.get("channels"), "F before": report.get("objectiveBefore"), "F after": report.get("objectiveAfter"),
        "gap": report.get("gapBound"), "verify": verification.get("maxDeviation"), "outputs": moved, "limit": LIMIT,
        "package safetensors": agrees_with_package(target, rescaled) if shards == 1 else "-",
    }
    good = (codes == (0, 0) and bool(changed) and row["package safetensors"] != "DIFFERS"
            and list(rescaled) == list(tensors) and all(rescaled[n].dtype == t.dtype for n, t in tensors.items()))
    if kind != torch.float32:
        wide = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
        _, _, wide_codes, _, exact = rescale(folder, wide, torch.float32, 1, text, options)
        row["limit"] = TIMES * control(network, tensors, changed, image, before, kind)
        row["outputs as float32"] = deviation(before, outputs(network, exact, image))
        row["half units"] = roundings(rescaled, exact, kind)
        good &= wide_codes == (0, 0) and row["outputs as float32"] <= LIMIT and row["half units"] <= 1 + 2.0 ** -10
    good &= moved <= row["limit"]
    print(("ok  " if good else "BAD ") + json.dumps(row)
          + ("" if good else f" exit codes {codes}: {report.get('error')} {verification.get('reason')}"), flush=True)
    shutil.rmtree(folder)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", default="equinorm")
    parser.add_argument("--out", default="/tmp")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NETWORKS))
    options = parser.parse_args()
    cases = [(name, kind, shards) for name in options.names or DEFAULT for kind in WORDS for shards in ((1, 3) if kind == torch.float32 else (1,))]
    sys.exit(0 if all([check(*case, options) for case in cases]) else 1)


if __name__ == "__main__":
    main()
