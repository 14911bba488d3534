#!/usr/bin/env python3
"""Rescales torch state dicts as safetensors files and checks that torch computes the same with them.

    python3 safetensors_torch.py --tool "dotnet <EquiNorm.Cli.dll>" [--out DIR] [NAME ...]

Each network of networks.py is exported with its parameters' own names, described by `equinorm describe`, and its state dict written as one
safetensors file, or as three shards with an index, in float32, bfloat16 and float16 (the network runs with the rounded numbers before and after). The
rescaled file is read back into the network, and its outputs in float64 are compared. Reading and writing is done here in a few lines of numpy,
apart from the product; with the package `safetensors` installed, its reader must agree. Needs torch, torchvision, onnx, numpy.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import warnings

import numpy as np
import torch

from common import SEED, deviation, tool
from networks import NETWORKS, prepare

warnings.filterwarnings("ignore", module="torch.onnx")
TYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"}
WORDS = {torch.float32: "float32", torch.float16: "float16", torch.bfloat16: "bfloat16"}
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


def check(name, kind, shards, options):
    build, shape = NETWORKS[name]
    torch.manual_seed(SEED)
    network, image = prepare(build(), shape)
    folder = os.path.join(options.out, f"safetensors-{name}-{WORDS[kind]}-{shards}")
    result = os.path.join(folder, "rescaled")
    os.makedirs(result, exist_ok=True)
    onnx, description = os.path.join(folder, "model.onnx"), os.path.join(folder, "net.json")
    torch.onnx.export(network, image, onnx, opset_version=13, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=True)
    run = subprocess.run([*options.tool.split(), "describe", onnx, "-o", description], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    with open(description, encoding="utf-8") as file:
        text = file.read()
    with open(description, "w", encoding="utf-8") as file:
        file.write(text.replace('"float32"', f'"{WORDS[kind]}"'))
    tensors = {n: t.to(kind) if t.is_floating_point() else t for n, t in network.state_dict().items()}
    exact = outputs(network, network.state_dict(), image)
    source = save(folder, tensors, shards)
    target = os.path.join(result, os.path.basename(source))
    before = outputs(network, tensors, image)
    rounding = deviation(exact, before)
    code, report = tool(options.tool, "rescale", source, "--network", description, "-o", target)
    verified, verification = tool(options.tool, "verify", source, target, "--network", description)
    after_tensors = load(target)
    after = outputs(network, after_tensors, image)
    changed = sum(not torch.equal(after_tensors[n], t) for n, t in tensors.items())
    package = agrees_with_package(target, after_tensors) if shards == 1 else "-"
    # Rescaled weights are rounded once more: as much as rounding the float32 weights to the type moved the outputs, a few times over.
    allowed = 2e-5 + 3 * rounding
    good = (code == 0 and verified == 0 and deviation(before, after) <= allowed and changed > 0 and package != "DIFFERS"
            and list(after_tensors) == list(tensors) and all(after_tensors[n].dtype == t.dtype for n, t in tensors.items()))
    print(("ok  " if good else "BAD ") + json.dumps({
        "network": name, "type": WORDS[kind], "files": shards, "tensors": len(tensors), "changed": changed,
        "channels": report.get("channels"), "F before": report.get("objectiveBefore"), "F after": report.get("objectiveAfter"),
        "gap": report.get("gapBound"), "verify": verification.get("maxDeviation"), "outputs": deviation(before, after), "rounding to the type": rounding, "package safetensors": package,
    }) + ("" if good else f" exit codes {code} {verified}: {report.get('error')} {verification.get('reason')}"), flush=True)
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
