"""Trains a deep ReLU network on data it generates, with and without equi-normalization, from the same start on the same batches.

    python samples/train_relu_network.py [--steps 200] [--depth 12] [--svg losses.svg]

Prints the loss of both and what a step of EquiNorm costs beside a step of training, and draws the losses. The start is unbalanced on
purpose (each hidden channel is multiplied by a random factor and divided by it behind the ReLU): the function is that of the usual
start, and gradient descent is slower from there. What it shows is this problem, not training in general.
"""

import argparse
import pathlib
import sys
import time

import torch
from torch import nn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "python"))

import equinorm  # noqa: E402


def network(depth, width, spread, seed):
    torch.manual_seed(seed)
    sizes = [32] + [width] * depth + [10]
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    with torch.no_grad():
        for layer in layers:
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
        for left, right in zip(layers, layers[1:]):
            d = torch.exp(spread * torch.randn(left.out_features))
            left.weight.mul_(d[:, None])
            left.bias.mul_(d)
            right.weight.div_(d[None, :])
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


def data(count, seed):
    """Inputs, and classes by a fixed random network of two layers."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 32, generator=g)
    teacher = torch.relu(x @ torch.randn(32, 64, generator=g)) @ torch.randn(64, 10, generator=g)
    return x, teacher.argmax(1)


def train(args, balance):
    model = network(args.depth, args.width, args.spread, seed=1)
    optimizer = torch.optim.SGD(model.parameters(), lr=args.rate, momentum=0.9)
    enorm = equinorm.EquiNorm(model, optimizer) if balance else None
    x, y = data(8192, seed=2)
    order = torch.Generator().manual_seed(3)
    losses, training, balancing = [], 0.0, 0.0
    for _ in range(args.steps):
        batch = torch.randint(len(x), (args.batch,), generator=order)
        start = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        middle = time.perf_counter()
        if enorm is not None:
            enorm.step()
        balancing += time.perf_counter() - middle
        training += middle - start
        losses.append(loss.item())
    with torch.no_grad():
        final = nn.functional.cross_entropy(model(x), y).item()
    if enorm is not None:
        print(f"  {enorm!r}")
        enorm.close()
    return losses, final, training / args.steps, balancing / args.steps


def smooth(losses, keep=0.9):
    out, mean = [], losses[0]
    for loss in losses:
        mean = keep * mean + (1 - keep) * loss
        out.append(mean)
    return out


def svg(curves, title):
    """Losses over steps as SVG, in colours that follow the reader's light or dark mode."""
    width, height, left, right, top, bottom = 640, 300, 48, 120, 34, 36
    steps = max(len(c) for c, _, _ in curves)
    high = max(max(c) for c, _, _ in curves) * 1.05

    def at(k, value):
        return left + k / max(1, steps - 1) * (width - left - right), top + (1 - value / high) * (height - top - bottom)

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}">',
        "<style>text{font:12px system-ui,sans-serif;fill:#333}.g{stroke:#8884;stroke-width:1}.a{stroke:#b3541e}.b{stroke:#1f6fb2}"
        ".a,.b{fill:none;stroke-width:2}.ta{fill:#b3541e}.tb{fill:#1f6fb2}.h{font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}.a{stroke:#f0a070}.b{stroke:#7ab8f0}.ta{fill:#f0a070}.tb{fill:#7ab8f0}}</style>",
        f'<text class="h" x="{left}" y="18">{title}</text>',
    ]
    for k in range(5):
        x, y = at(0, high * k / 4)
        lines.append(f'<path class="g" d="M{x:.0f} {y:.1f}H{width - right}"/><text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{high * k / 4:.2f}</text>')
    for k in (0, steps // 2, steps - 1):
        x, y = at(k, 0)
        lines.append(f'<text x="{x:.0f}" y="{y + 18:.0f}" text-anchor="middle">{k + 1}</text>')
    x, y = at((steps - 1) / 2, 0)
    lines.append(f'<text x="{x:.0f}" y="{y + 33:.0f}" text-anchor="middle">step</text>')
    every = max(1, steps // 300)
    ends = []
    for values, name, style in curves:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(k, values[k]) for k in range(0, len(values), every)))
        _, y = at(steps - 1, values[-1])
        while any(abs(y - other) < 15 for other in ends):
            y += 4
        ends.append(y)
        lines.append(f'<polyline class="{style}" points="{path}"/><text class="t{style}" x="{width - right + 6}" y="{y + 4:.1f}">{name}</text>')
    return "\n".join(lines + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=0.005)
    parser.add_argument("--spread", type=float, default=0.7, help="how unequal the start is: 0 is the usual one")
    parser.add_argument("--svg", default="train_relu_network.svg")
    args = parser.parse_args()
    print(f"{args.depth} hidden layers of {args.width}, {args.steps} steps of {args.batch}, SGD with momentum, rate {args.rate}")
    plain = train(args, balance=False)
    balanced = train(args, balance=True)
    for name, (losses, final, step, extra) in (("without", plain), ("with", balanced)):
        print(f"{name:>8} EquiNorm: loss {losses[0]:.3f} -> {final:.3f} (all data), a step of training {step * 1e3:.2f} ms, of EquiNorm {extra * 1e3:.2f} ms")
    print(f"overhead of EquiNorm: {100 * balanced[3] / balanced[2]:.0f} % of a training step")
    curves = [(smooth(plain[0]), "without", "a"), (smooth(balanced[0]), "with EquiNorm", "b")]
    pathlib.Path(args.svg).write_text(svg(curves, f"Training loss, {args.depth} hidden layers of {args.width}"))
    print(f"wrote {args.svg}")


if __name__ == "__main__":
    main()
