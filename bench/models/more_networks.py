"""Networks that torchvision does not have: small ones, and some at full size."""
import torch
from torch import nn
from torch.nn import functional as F


def block(dimensions, inputs, outputs, stride=1):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 1]
    return nn.Sequential(conv(inputs, outputs, 3, stride, 1, bias=False), norm(outputs), nn.ReLU())


class UNet(nn.Module):
    """Levels of halved images, transposed convolutions on the way up, concatenated skips."""

    def __init__(self, width=16, levels=2):
        super().__init__()
        widths = [width << n for n in range(levels + 1)]
        self.down = nn.ModuleList(nn.Sequential(block(2, i, o), block(2, o, o)) for i, o in zip([3] + widths, widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, 2) for w in widths[:-1])
        self.join = nn.ModuleList(nn.Sequential(block(2, 2 * w, w), block(2, w, w)) for w in widths[:-1])
        self.head = nn.Conv2d(width, 4, 1)

    def forward(self, x):
        skips = []
        for n, down in enumerate(self.down):
            x = down(F.max_pool2d(x, 2) if n else x)
            skips.append(x)
        for up, join, skip in reversed(list(zip(self.up, self.join, skips))):
            x = join(torch.cat([up(x), skip], 1))
        return self.head(x)


class Generator(nn.Module):
    """DCGAN's: features become an image, transposed convolutions with normalisation enlarge it."""

    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(32, 64 * 16)
        layers = []
        for i, o in ((64, 48), (48, 32)):
            layers += [nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU()]
        self.layers = nn.Sequential(nn.BatchNorm2d(64), nn.ReLU(), *layers, nn.ConvTranspose2d(32, 3, 4, 2, 1))

    def forward(self, x):
        return self.layers(self.dense(x).view(-1, 64, 4, 4))


class Gated(nn.Module):
    """Two branches multiplied, both of them free: one keeps its factors."""

    def __init__(self):
        super().__init__()
        self.stem = block(2, 3, 16)
        self.left, self.right = block(2, 16, 24), nn.Conv2d(16, 24, 1)
        self.tail = nn.Sequential(block(2, 24, 16), nn.Conv2d(16, 4, 1))

    def forward(self, x):
        x = self.stem(x)
        return self.tail(self.left(x) * self.right(x))


class SuperResolution(nn.Module):
    """ESPCN: the last convolution's channels become positions."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(block(2, 3, 32), block(2, 32, 32), nn.Conv2d(32, 12 * 4, 3, 1, 1), nn.PixelShuffle(2), nn.ReLU(), nn.Conv2d(12, 3, 3, 1, 1))

    def forward(self, x):
        return self.body(x)


class Mixer(nn.Module):
    """MLP-Mixer, here with ReLU inside its layers; layer normalisation in front of each."""

    def __init__(self, width=32, patches=16, depth=3, patch=4, hidden=(24, 64), activation=nn.ReLU):
        super().__init__()
        self.stem = nn.Conv2d(3, width, patch, patch)

        def layers(outer, inner):
            return nn.ModuleList(nn.Sequential(nn.Linear(outer, inner), activation(), nn.Linear(inner, outer)) for _ in range(depth))

        self.tokens, self.channels = layers(patches, hidden[0]), layers(width, hidden[1])
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.head = nn.Linear(width, 10)

    def forward(self, x):
        x = self.stem(x).flatten(2).transpose(1, 2)
        for i, (tokens, channels) in enumerate(zip(self.tokens, self.channels)):
            x = x + tokens(self.norms[2 * i](x).transpose(1, 2)).transpose(1, 2)
            x = x + channels(self.norms[2 * i + 1](x))
        return self.head(x.mean(1))


def pyramid(dimensions):
    adaptive = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dimensions - 1]
    pool = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)[dimensions - 1]
    average = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)[dimensions - 1]
    return nn.Sequential(
        block(dimensions, 3, 16), pool(2), block(dimensions, 16, 32), average(2), block(dimensions, 32, 48, 2),
        adaptive(1), nn.Flatten(), nn.Linear(48, 10))


def autoencoder(dimensions):
    transposed = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dimensions - 1]
    return nn.Sequential(
        block(dimensions, 3, 16, 2), block(dimensions, 16, 32, 2),
        transposed(32, 16, 4, 2, 1, groups=4), nn.ReLU(), transposed(16, 16, 4, 2, 1, groups=16), nn.ReLU(), transposed(16, 3, 1))


def mobilenet_v1():
    layers, width = [block(2, 3, 32, 2)], 32
    for outputs, stride in [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2)] + [(512, 1)] * 5 + [(1024, 2), (1024, 1)]:
        layers += [nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        layers += [nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        width = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 1000))


FULL_SIZE = {
    "mobilenet_v1": (mobilenet_v1, (3, 224, 224)),
    "unet_64": (lambda: UNet(64, 4), (3, 256, 256)),
    "mlp_mixer_s16": (lambda: Mixer(512, 196, 8, 16, (256, 2048), nn.GELU), (3, 224, 224)),
}

NETWORKS = {
    "unet": (UNet, (3, 32, 32)),
    "dcgan_generator": (Generator, (32,)),
    "gated": (Gated, (3, 16, 16)),
    "super_resolution": (SuperResolution, (3, 16, 16)),
    "mlp_mixer": (Mixer, (3, 16, 16)),
    "conv_1d": (lambda: pyramid(1), (3, 64)),
    "conv_3d": (lambda: pyramid(3), (3, 8, 16, 16)),
    "autoencoder_1d": (lambda: autoencoder(1), (3, 32)),
    "autoencoder_3d": (lambda: autoencoder(3), (3, 8, 16, 16)),
}
