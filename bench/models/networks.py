#!/usr/bin/env python3
"""Rescales torchvision's networks and checks with another engine that their function is kept.

    python3 networks.py --tool "dotnet <EquiNorm.Cli.dll>" [--full] [--out DIR] [--markdown FILE] [NAME ...]

Each network gets random weights, channels of unequal scale and the batch statistics of random images (so that every normalisation does
something), is written as ONNX with its normalisations in the graph, rescaled, verified, and run before and after: by OpenCV in float32, where
it can read the model, else by the small interpreter in onnx_torch.py in float64. Needs torch, torchvision, onnx, numpy and, for the first engine,
cv2. Seeds are fixed; other versions of these packages may give other weights.
"""
import torch
import torchvision
from torch import nn

import more_networks
import onnx_torch
from common import SEED, Rescaling, blockers, deviation, finish, named, parser, run_opencv

FULL = False  # images of 224 x 224 (Inception: 299 x 299), heads as they are


def slim(network, places):
    """The dense head of AlexNet and VGG with 256 hidden units: 400 MB of random weights would show nothing more."""
    if FULL:
        return network
    first, second, last = places
    head = network.classifier
    head[first] = nn.Linear(head[first].in_features, 256)
    head[second] = nn.Linear(256, 256)
    head[last] = nn.Linear(256, 10)
    return network


def vision(name, **options):
    return getattr(torchvision.models, name)(weights=None, **options)


NETWORKS = {
    "alexnet": (lambda: slim(vision("alexnet"), (1, 4, 6)), (3, 224, 224)),
    "vgg11_bn": (lambda: slim(vision("vgg11_bn"), (0, 3, 6)), (3, 224, 224)),
    "resnet18": (lambda: vision("resnet18"), (3, 96, 96)),
    "resnet50": (lambda: vision("resnet50"), (3, 96, 96)),
    "resnext50_32x4d": (lambda: vision("resnext50_32x4d"), (3, 96, 96)),
    "regnet_y_400mf": (lambda: vision("regnet_y_400mf"), (3, 96, 96)),
    "squeezenet1_1": (lambda: vision("squeezenet1_1"), (3, 96, 96)),
    "densenet121": (lambda: vision("densenet121"), (3, 96, 96)),
    "googlenet": (lambda: vision("googlenet", aux_logits=False, init_weights=False), (3, 96, 96)),
    "inception_v3": (lambda: vision("inception_v3", aux_logits=False, init_weights=False), (3, 160, 160)),
    "mobilenet_v2": (lambda: vision("mobilenet_v2"), (3, 96, 96)),
    "mobilenet_v3_small": (lambda: vision("mobilenet_v3_small"), (3, 96, 96)),
    "mnasnet0_5": (lambda: vision("mnasnet0_5"), (3, 96, 96)),
    "efficientnet_b0": (lambda: vision("efficientnet_b0"), (3, 96, 96)),
    "shufflenet_v2_x0_5": (lambda: vision("shufflenet_v2_x0_5"), (3, 96, 96)),
    **more_networks.NETWORKS,
}


def prepare(network, shape):
    """Unequal channels, then the statistics of one batch, moved a little."""
    generator = torch.Generator().manual_seed(SEED)

    def normal(*extents):
        return torch.randn(*extents, generator=generator)

    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)):
                transposed = "Transpose" in type(module).__name__
                weight = module.weight
                weight.copy_(normal(*weight.shape) * (2 / (weight[0].numel() if not transposed else weight[:, 0].numel())) ** 0.5)
                if not transposed:
                    scale = torch.exp(0.7 * normal(weight.shape[0]))
                    weight.mul_((scale / scale.pow(2).mean().sqrt()).view(-1, *[1] * (weight.dim() - 1)))
                if module.bias is not None:
                    module.bias.copy_(0.1 * normal(*module.bias.shape))
            elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                scale = torch.exp(0.7 * normal(*module.weight.shape))
                module.weight.copy_(scale / scale.pow(2).mean().sqrt())
                module.bias.copy_(0.3 * normal(*module.bias.shape))
                module.momentum = 1.0
            elif isinstance(module, nn.Dropout):
                module.p = 0.0
        network.train()
        network(normal(8, *shape))
        for module in network.modules():
            if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                module.running_mean.add_(0.1 * module.running_var.sqrt() * normal(*module.running_mean.shape))
                module.running_var.mul_(torch.exp(0.2 * normal(*module.running_var.shape)))
    return network.eval(), normal(2, *shape)


def export(network, image, path):
    # PRESERVE keeps the normalisations in the graph: folding them is part of what is checked.
    torch.onnx.export(network, image, path, opset_version=13, training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=True,
                      input_names=["image"], output_names=["scores"])


def check(name, options):
    build, shape = NETWORKS.get(name) or more_networks.FULL_SIZE[name]
    if FULL and name in NETWORKS and name not in more_networks.NETWORKS:
        shape = (3, 299, 299) if name == "inception_v3" else (3, 224, 224)
    torch.manual_seed(SEED)
    network, image = prepare(build(), shape)
    with torch.no_grad():
        expected = network(image).numpy()
    files = Rescaling(name, options)
    export(network, image, files.source)
    report = files.run()
    engine, before, after = "OpenCV", run_opencv(files.source, image), None
    if before is not None and deviation(expected, before) < 1e-3:
        after = run_opencv(files.target, image)
    if after is None:
        engine, before, after = "interpreter", onnx_torch.run(files.source, image), onnx_torch.run(files.target, image)
    pinned = blockers(report)
    stuck = sum(not g["reason"].startswith(("network ", "constant ")) for g in report["pinned"])
    row = {
        "network": name,
        "groups free / pinned": f"{report['groups']} / {stuck}",
        "channels free / pinned": f"{report['channels']} / {sum(pinned.values())}",
        "pinned by": named(pinned),
        **files.figures(),
        "outputs": f"{deviation(before, after):.1e}",
        "engine": engine,
    }
    return files.conclude(row, expected, before, after)


def main():
    arguments = parser(__doc__, [*NETWORKS, *more_networks.FULL_SIZE])
    arguments.add_argument("--full", action="store_true", help="at full size: images of 224 x 224, the dense heads of AlexNet and VGG as they are")
    options = arguments.parse_args()
    global FULL
    FULL = options.full
    everything = [*(n for n in NETWORKS if n not in more_networks.NETWORKS), *more_networks.FULL_SIZE]
    finish([check(name, options) for name in options.names or (everything if FULL else NETWORKS)], options)


if __name__ == "__main__":
    main()
