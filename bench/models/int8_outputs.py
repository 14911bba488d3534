#!/usr/bin/env python3
"""What int8 weights do to the outputs of a network, before and after rescaling, in another engine.

    python3 int8_outputs.py --tool "dotnet <EquiNorm.Cli.dll>" [--norms 1,2] [--images N] MODEL.onnx ...

The model as it is has its batch normalisations folded here, by numpy, so that both sides are quantised alike: every weight of Conv, Gemm and
MatMul, symmetric int8, one scale for each tensor or for each output channel, nothing else. Random images go through OpenCV in float32 (or, where
it cannot read the model, the interpreter in onnx_torch.py) with the weights as they are and with the quantised ones; printed is 10 log10(sum y^2 / sum (y - yq)^2) of the outputs, and beside it the same
for the weights, by numpy, which `equinorm compare` must agree with. Needs onnx, numpy and
cv2; torch for the interpreter.
"""
import argparse
import os
import shlex
import subprocess
import tempfile

import cv2
import numpy as np
import onnx
from onnx import numpy_helper


def fold(model):
    """Batch normalisations into the convolutions in front."""
    graph = model.graph
    tensors = {t.name: t for t in graph.initializer}
    value = {n: numpy_helper.to_array(t).astype(np.float64) for n, t in tensors.items()}
    for alias in [n for n in graph.node if n.op_type == "Identity" and n.input[0] in value]:
        value[alias.output[0]] = value[alias.input[0]]
    made = {n.output[0]: n for n in graph.node}
    for norm in [n for n in graph.node if n.op_type == "BatchNormalization"]:
        conv = made[norm.input[0]]
        assert conv.op_type == "Conv" and sum(norm.input[0] in n.input for n in graph.node) == 1, norm.name
        gamma, beta, mean, variance = (value[i] for i in norm.input[1:5])
        epsilon = next((a.f for a in norm.attribute if a.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(variance + epsilon)
        weight = value[conv.input[1]] * scale.reshape(-1, 1, 1, 1)
        bias = ((value[conv.input[2]] if len(conv.input) > 2 else 0) - mean) * scale + beta
        tensors[conv.input[1]].CopyFrom(numpy_helper.from_array(weight.astype(np.float32), conv.input[1]))
        name = norm.output[0] + ".folded"
        graph.initializer.append(numpy_helper.from_array(bias.astype(np.float32), name))
        del conv.input[2:]
        conv.input.append(name)
        conv.output[0] = norm.output[0]
        graph.node.remove(norm)
    return model


def weights(model):
    """The weights with their axis of output channels."""
    tensors = {t.name: t for t in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul") and node.input[1] in tensors:
            transposed = node.op_type == "MatMul" or (
                node.op_type == "Gemm" and not next((a.i for a in node.attribute if a.name == "transB"), 0))
            yield tensors[node.input[1]], 1 if transposed else 0


def quantise(model, by):
    """The model with int8 weights, and the signal-to-noise ratio of all weights together."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    signal = noise = 0.0
    for tensor, axis in weights(copy):
        w = numpy_helper.to_array(tensor).astype(np.float64)
        others = tuple(a for a in range(w.ndim) if a != axis)
        scale = np.abs(w).max(axis=others if by == "channel" else None, keepdims=True) / 127
        q = scale * np.rint(w / np.where(scale > 0, scale, 1))
        signal, noise = signal + (w * w).sum(), noise + ((w - q) ** 2).sum()
        tensor.CopyFrom(numpy_helper.from_array(q.astype(np.float32), tensor.name))
    return copy, 10 * np.log10(signal / noise)


def run(model, images):
    """The outputs for all images, one after the other."""
    try:
        net = cv2.dnn.readNetFromONNX(np.frombuffer(model.SerializeToString(), np.uint8))
    except cv2.error:
        return interpret(model, images)
    results = []
    for image in images:
        net.setInput(image)
        results.append(net.forward().astype(np.float64).ravel())
    return np.concatenate(results)


def interpret(model, images):
    import onnx_torch
    import torch
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "model.onnx")
        onnx.save(model, path)
        return np.concatenate([onnx_torch.run(path, torch.from_numpy(image)).ravel() for image in images])


def report(name, model, images):
    exact = run(model, images)
    line = [name]
    for by in ("tensor", "channel"):
        quantised, decibels = quantise(model, by)
        error = run(quantised, images) - exact
        line += [f"{decibels:.1f}", f"{10 * np.log10((exact ** 2).sum() / (error ** 2).sum()):.1f}"]
    print("| " + " | ".join(line) + " |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--tool", required=True)
    parser.add_argument("--norms", default="1,2")
    parser.add_argument("--images", type=int, default=8)
    args = parser.parse_args()
    print("| model | weights by tensor, dB | outputs | weights by channel, dB | outputs |\n|---|---|---|---|---|")
    for path in args.models:
        name = os.path.basename(path)
        model = onnx.load(path)
        shape = [d.dim_value or 1 for d in model.graph.input[0].type.tensor_type.shape.dim]
        images = np.random.default_rng(1902).standard_normal([args.images, *shape]).astype(np.float32)
        report(name + ", as it is", fold(model), images)
        for norm in args.norms.split(","):
            with tempfile.TemporaryDirectory() as directory:
                out = os.path.join(directory, "out.onnx")
                subprocess.run([*shlex.split(args.tool), "rescale", path, "-o", out, "--norm", norm], check=True, stdout=subprocess.DEVNULL)
                report(f"{name}, norm {norm}", onnx.load(out), images)


if __name__ == "__main__":
    main()
