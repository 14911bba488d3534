#!/usr/bin/env python3
"""Rescales transformers and checks with another engine that their function is kept.

    python3 transformers.py --tool "dotnet <EquiNorm.Cli.dll>" [--out DIR] [--markdown FILE] [NAME ...]

As networks.py does for torchvision's convolutional networks: random weights with rows and columns of unequal scale, exported by torch with layer
normalisation written out (operator set 13) or as one operator (17), rescaled, verified, run before and after: by OpenCV where it can read the
model, else by the interpreter in onnx_torch.py in float64. vit_b_16 is torchvision's at full size (344 MB), the others are small.
"""
import math

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import onnx_torch
from common import LIMIT, SEED, Rescaling, blockers, deviation, finish, named, parser, run_opencv


class RMSNorm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6))


def causal(length):
    return torch.from_numpy(np.triu(np.full((length, length), -1e4, np.float32), 1))


def rotated(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class LlamaBlock(nn.Module):
    """RMS normalisation, grouped-query attention with rotary positions, SwiGLU; the layout of Llama, Mistral and Qwen."""

    def __init__(self, width=64, heads=8, shared=2, hidden=96, bias=False, experts=0):
        super().__init__()
        self.heads, self.shared, self.size = heads, shared, width // heads
        self.input_norm, self.post_norm = RMSNorm(width), RMSNorm(width)
        self.q = nn.Linear(width, width, bias)
        self.k, self.v = (nn.Linear(width, shared * self.size, bias) for _ in range(2))
        self.o = nn.Linear(width, width, False)
        self.experts = nn.ModuleList(nn.ModuleDict({n: nn.Linear(*((width, hidden) if n != "down" else (hidden, width)), bias=False)
                                                    for n in ("gate", "up", "down")}) for _ in range(max(experts, 1)))
        self.router = nn.Linear(width, experts, bias=False) if experts else None

    def attention(self, x):
        b, s, _ = x.shape
        q = self.q(x).view(b, s, self.heads, self.size).transpose(1, 2)
        k, v = (p(x).view(b, s, self.shared, self.size).transpose(1, 2) for p in (self.k, self.v))
        angles = torch.arange(s).float()[:, None] * 10000 ** (-torch.arange(0, self.size, 2).float() / self.size)
        cos, sin = (f(torch.cat((angles, angles), -1))[None, None] for f in (torch.cos, torch.sin))
        q, k = (p * cos + rotated(p) * sin for p in (q, k))
        k, v = (p[:, :, None].expand(b, self.shared, self.heads // self.shared, s, self.size).reshape(b, self.heads, s, self.size) for p in (k, v))
        scores = q @ k.transpose(2, 3) / math.sqrt(self.size) + causal(s)
        return self.o((F.softmax(scores, -1) @ v).transpose(1, 2).reshape(b, s, -1))

    def forward(self, x):
        x = x + self.attention(self.input_norm(x))
        y = self.post_norm(x)
        parts = [e["down"](F.silu(e["gate"](y)) * e["up"](y)) for e in self.experts]
        if self.router is None:
            return x + parts[0]
        shares = F.softmax(self.router(y), -1)
        return x + sum(p * shares[..., n:n + 1] for n, p in enumerate(parts))


class Llama(nn.Module):
    def __init__(self, depth=2, **options):
        super().__init__()
        self.blocks = nn.ModuleList(LlamaBlock(**options) for _ in range(depth))
        self.norm, self.head = RMSNorm(64), nn.Linear(64, 50, bias=False)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


class GPTBlock(nn.Module):
    """GPT-2's: one weight for queries, keys and values, GELU by its tanh formula."""

    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc, self.c_out = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        b, s, c = x.shape
        q, k, v = (p.view(b, s, self.heads, c // self.heads).transpose(1, 2) for p in self.c_attn(self.ln_1(x)).split(c, 2))
        scores = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(c // self.heads))
        scores = scores.masked_fill(causal(s) < 0, -1e4)
        x = x + self.c_proj((F.softmax(scores, -1) @ v).transpose(1, 2).contiguous().view(b, s, c))
        y = self.c_fc(self.ln_2(x))
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y ** 3)))
        return x + self.c_out(y)


class GPT(nn.Module):
    """Tokens in, logits out; the head is the embedding where it is tied."""

    def __init__(self, depth=2, tied=False):
        super().__init__()
        self.embedding, self.positions = nn.Embedding(50, 64), nn.Parameter(0.1 * torch.randn(1, 12, 64))
        self.blocks = nn.ModuleList(GPTBlock() for _ in range(depth))
        self.ln_f, self.head = nn.LayerNorm(64), nn.Linear(64, 50, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.head(self.ln_f(x))


class BertLayer(nn.Module):
    """Normalisation behind the sum; queries, keys and values apart."""

    def __init__(self, width=64, heads=4):
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.up, self.down = nn.Linear(width, 128), nn.Linear(128, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x):
        b, s, c = x.shape
        q, k, v = (p(x).view(b, s, self.heads, -1).permute(0, 2, 1, 3) for p in (self.q, self.k, self.v))
        y = (F.softmax(q @ k.transpose(-1, -2) / math.sqrt(c // self.heads), -1) @ v).permute(0, 2, 1, 3).reshape(b, s, c)
        x = self.norm1(x + self.o(y))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


def vit(**options):
    return torchvision.models.VisionTransformer(**options)


EMBEDDED, TOKENS = (12, 64), None
SMALL_VIT = dict(image_size=32, patch_size=8, num_layers=2, num_heads=4, hidden_dim=64, mlp_dim=128, num_classes=10)
MODELS = {
    "vit": (lambda: vit(**SMALL_VIT), (3, 32, 32), 13),
    "vit_fused_norm": (lambda: vit(**SMALL_VIT), (3, 32, 32), 17),
    "gpt": (GPT, TOKENS, 13),
    "gpt_fused_norm": (GPT, TOKENS, 17),
    "gpt_tied_head": (lambda: GPT(tied=True), TOKENS, 13),
    "bert": (lambda: nn.Sequential(BertLayer(), BertLayer()), EMBEDDED, 13),
    "encoder_layer": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, 0.0, "relu", batch_first=True), 2), EMBEDDED, 14),
    "llama": (Llama, EMBEDDED, 13),
    "llama_biases": (lambda: Llama(bias=True), EMBEDDED, 17),
    "llama_multi_query": (lambda: Llama(shared=1), EMBEDDED, 13),
    "llama_experts": (lambda: Llama(experts=3), EMBEDDED, 13),
    "vit_b_16": (lambda: torchvision.models.vit_b_16(weights=None), (3, 224, 224), 17),
}


def prepare(network, shape):
    generator = torch.Generator().manual_seed(SEED)

    def normal(*extents):
        return torch.randn(*extents, generator=generator)

    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.dim() == 2 and "embedding" not in name:
                spread = torch.exp(0.5 * normal(parameter.shape[0], 1)) * torch.exp(0.5 * normal(1, parameter.shape[1]))
                parameter.copy_(normal(*parameter.shape) * spread / (spread.pow(2).mean() * parameter.shape[1]).sqrt())
            elif parameter.dim() == 1:
                parameter.copy_(torch.exp(0.3 * normal(*parameter.shape)) if parameter.mean() > 0.5 else 0.1 * normal(*parameter.shape))
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    # In training torch's attention is written out; with a dropout of 0 it computes the same.
    inputs = normal(2, *shape) if shape else torch.randint(0, 50, (2, 12), generator=generator)
    return network.train(), inputs


def check(name, options):
    build, shape, opset = MODELS[name]
    torch.manual_seed(SEED)
    network, inputs = prepare(build(), shape)
    with torch.no_grad():
        expected = network(inputs).numpy()
    files = Rescaling(name, options)
    torch.onnx.export(network, inputs, files.source, opset_version=opset, training=torch.onnx.TrainingMode.PRESERVE,
                      do_constant_folding=not options.unfolded, input_names=["x"], output_names=["y"])
    report = files.run()
    before, after = onnx_torch.run(files.source, inputs), onnx_torch.run(files.target, inputs)
    row = {
        "network": name,
        "groups": str(report["groups"]),
        "channels": str(report["channels"]),
        "pinned by": named(blockers(report)),
        **files.figures(),
        "outputs": f"{deviation(before, after):.1e}",
        "OpenCV": opencv(files.source, files.target, inputs, expected),
    }
    return files.conclude(row, expected, before, after, others=row["OpenCV"] == "-" or float(row["OpenCV"]) <= LIMIT)


def opencv(source, target, inputs, expected):
    before = run_opencv(source, inputs)
    if before is None or before.shape != expected.shape or deviation(expected, before) > 1e-3:
        return "-"
    after = run_opencv(target, inputs)
    return "-" if after is None else f"{deviation(before, after):.1e}"


def main():
    arguments = parser(__doc__, MODELS)
    arguments.add_argument("--unfolded", action="store_true", help="export without constant folding: weights lie behind transpositions")
    options = arguments.parse_args()
    finish([check(name, options) for name in options.names or MODELS], options)


if __name__ == "__main__":
    main()
