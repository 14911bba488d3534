"""Networks that torchvision does not have, small."""
import torch
from torch import nn
from torch.nn import functional as F


def block(dimensions, inputs, outputs, stride=1):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dimensions - 1]
    norm = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dimensions - 1]
    return nn.Sequential(conv(inputs, outputs, 3, stride, 1, bias=False), norm(outputs), nn.ReLU())


class UNet(nn.Module):
    """Two levels, transposed convolutions on the way up, concatenated skips."""

    def __init__(self):
        super().__init__()
        self.down1, self.down2, self.bottom = (nn.Sequential(block(2, i, o), block(2, o, o)) for i, o in ((3, 16), (16, 32), (32, 64)))
        self.up2, self.up1 = nn.ConvTranspose2d(64, 32, 2, 2), nn.ConvTranspose2d(32, 16, 2, 2)
        self.join2, self.join1 = (nn.Sequential(block(2, i, o), block(2, o, o)) for i, o in ((64, 32), (32, 16)))
        self.head = nn.Conv2d(16, 4, 1)

    def forward(self, x):
        a = self.down1(x)
        b = self.down2(F.max_pool2d(a, 2))
        c = self.bottom(F.max_pool2d(b, 2))
        b = self.join2(torch.cat([self.up2(c), b], 1))
        return self.head(self.join1(torch.cat([self.up1(b), a], 1)))


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
    """MLP-Mixer with ReLU inside its layers; layer normalisation in front of each."""

    def __init__(self, width=32, patches=16, depth=3):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 4, 4)
        self.tokens = nn.ModuleList(nn.Sequential(nn.Linear(patches, 24), nn.ReLU(), nn.Linear(24, patches)) for _ in range(depth))
        self.channels = nn.ModuleList(nn.Sequential(nn.Linear(width, 64), nn.ReLU(), nn.Linear(64, width)) for _ in range(depth))
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
