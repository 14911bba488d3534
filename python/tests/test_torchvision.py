"""Whole architectures: whatever the walker leaves free can be rescaled, in evaluation and in training, to the last digits of float64."""

import unittest
import warnings

import torch

import oracle
from equinorm import describe

try:
    from torchvision import models
except ImportError:
    models = None

# Name, side of the input, free channels (counted by what the architecture leaves homogeneous; a change here is a change of the walker).
ARCHITECTURES = [
    ("resnet18", 64, 2880),
    ("mobilenet_v2", 64, 712),
    ("mobilenet_v3_small", 64, None),
    ("vgg11_bn", 64, 10944),
    ("densenet121", 64, 41760),
    ("googlenet", 96, 9584),
    ("squeezenet1_1", 64, 2944),
    ("shufflenet_v2_x1_0", 64, 8090),
    ("mnasnet1_0", 64, 18000),
    ("efficientnet_b0", 64, 784),
    ("regnet_x_400mf", 64, 12848),
    ("regnet_y_400mf", 64, 6040),
    ("convnext_tiny", 64, None),
    ("resnext50_32x4d", 64, None),
    ("swin_t", 64, None),
]


@unittest.skipIf(models is None, "torchvision is not installed")
class Architectures(unittest.TestCase):
    def exact(self, name, side, free):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = getattr(models, name)(weights=None)
        network = describe(model)
        batch = torch.randn(2, 3, side, side, dtype=torch.float64)
        found = oracle.check(self, model, network, [batch], seeds=(1,), tolerance=1e-8)
        if free is not None:
            self.assertEqual(free, len(found.free_channels()))
        for group in network.pinned:
            self.assertTrue(group.pinned)


for _name, _side, _free in ARCHITECTURES:
    if models is not None and hasattr(models, _name):
        setattr(Architectures, f"test_{_name}", lambda self, n=_name, s=_side, f=_free: self.exact(n, s, f))


@unittest.skipIf(models is None, "torchvision is not installed")
class Details(unittest.TestCase):
    def test_resnet18_heights(self):
        network = describe(models.resnet18(weights=None))
        heights = {u.name: u.height for u in network.uses}
        self.assertEqual(0, heights["fc.weight"])
        self.assertEqual(0, heights["fc.bias"])
        # Each convolution and each gain is a weight on the path; the downsampling branch is the shorter one.
        self.assertEqual(1, heights["layer4.1.bn2.weight"])
        self.assertEqual(2, heights["layer4.1.conv2.weight"])
        self.assertEqual(5, heights["layer4.0.bn2.weight"])
        self.assertEqual(5, heights["layer4.0.downsample.1.weight"])
        self.assertEqual(6, heights["layer4.0.downsample.0.weight"])
        self.assertEqual(34, heights["conv1.weight"])

    def test_mobilenet_v2_names_relu6(self):
        network = describe(models.mobilenet_v2(weights=None))
        self.assertTrue(any("ReLU6 features.0.2" in r for g in network.pinned for r in g.reasons))
        streams = [g for g in network.groups if not g.reasons]
        self.assertEqual(7, len(streams))

    def test_resnet18_streams(self):
        groups = {g.name: g for g in describe(models.resnet18(weights=None)).groups}
        stream = groups["bn1"]
        self.assertIsNone(stream.pinned)
        self.assertEqual(("bn1.weight", "bn1.bias", "layer1.0.bn2.weight", "layer1.0.bn2.bias", "layer1.1.bn2.weight", "layer1.1.bn2.bias"), stream.sources)
        self.assertEqual(("layer1.0.conv1.weight", "layer1.1.conv1.weight", "layer2.0.conv1.weight", "layer2.0.downsample.0.weight"), stream.sinks)
        self.assertEqual("read by batch normalisation layer1.0.bn1 in training", groups["layer1.0.conv1"].pinned)


if __name__ == "__main__":
    unittest.main()
