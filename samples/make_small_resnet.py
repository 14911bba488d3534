#!/usr/bin/env python3
"""Makes small_resnet.onnx, the model of the README's first command.

A residual network for 32 x 32 images (convolutions, batch normalisation, ReLU, identity and projection skips, average pooling, one
dense layer; 272,474 parameters), trained for a short time on generated images so that its statistics are those of a trained
network, not of an initialisation. Then the channels inside every block are multiplied by exp(N(0, 1)) on their way in and divided on
their way out: the function stays the same, the weights become unbalanced. Three channels of one block are pruned (set to zero).

    python3 make_small_resnet.py [small_resnet.onnx]

Needs torch and onnx. The seed is fixed; other versions of torch may give other weights.
"""
import sys

import torch
from torch import nn
from torch.nn import functional as F

SEED = 2019
WIDTHS = (16, 32, 64)
BLOCKS = 3
CLASSES = 10
STEPS = 150


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.skip = nn.Identity() if stride == 1 and inputs == outputs else nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.skip(x))


class SmallResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, WIDTHS[0], 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(WIDTHS[0])
        blocks, inputs = [], WIDTHS[0]
        for n, width in enumerate(WIDTHS):
            for b in range(BLOCKS):
                blocks.append(Block(inputs, width, 2 if n > 0 and b == 0 else 1))
                inputs = width
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x):
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.fc(torch.flatten(F.adaptive_avg_pool2d(x, 1), 1))


def images(count, generator):
    """Gratings with ten orientations, random phase, frequency and colour, in noise."""
    label = torch.randint(0, CLASSES, (count,), generator=generator)
    angle = label * torch.pi / CLASSES
    y, x = torch.meshgrid(torch.linspace(-1, 1, 32), torch.linspace(-1, 1, 32), indexing="ij")
    along = torch.cos(angle)[:, None, None] * x + torch.sin(angle)[:, None, None] * y
    frequency = 6 + 6 * torch.rand(count, 1, 1, generator=generator)
    phase = 2 * torch.pi * torch.rand(count, 1, 1, generator=generator)
    wave = torch.sin(frequency * along + phase)[:, None]
    colour = torch.rand(count, 3, 1, 1, generator=generator) + 0.2
    return wave * colour + 0.5 * torch.randn(count, 3, 32, 32, generator=generator), label


def train(model, generator):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for step in range(STEPS):
        x, label = images(64, generator)
        loss = F.cross_entropy(model(x), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    x, label = images(500, generator)
    with torch.no_grad():
        return (model(x).argmax(1) == label).float().mean().item()


def unbalance(model, generator):
    """Rescales hidden channels (the function stays) and prunes three of them (dead channels)."""
    with torch.no_grad():
        for block in model.blocks:
            factor = torch.exp(torch.randn(block.bn1.num_features, generator=generator))
            block.bn1.weight *= factor
            block.bn1.bias *= factor
            block.conv2.weight /= factor[None, :, None, None]
        pruned = model.blocks[4]
        for channel in (3, 11, 20):
            pruned.conv1.weight[channel] = 0
            pruned.conv2.weight[:, channel] = 0


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(SEED)
    model = SmallResNet()
    accuracy = train(model, generator)
    unbalance(model, generator)
    path = sys.argv[1] if len(sys.argv) > 1 else "small_resnet.onnx"
    torch.onnx.export(
        model, torch.zeros(1, 3, 32, 32), path, opset_version=13, input_names=["image"], output_names=["scores"],
        dynamic_axes={"image": {0: "batch"}, "scores": {0: "batch"}}, training=torch.onnx.TrainingMode.PRESERVE, do_constant_folding=False)
    print(f"{path}: {sum(p.numel() for p in model.parameters())} parameters, {accuracy:.1%} of generated test images right")


if __name__ == "__main__":
    main()
