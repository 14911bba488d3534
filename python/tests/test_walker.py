"""The walker on small models: the groups it finds are the expected ones, and what it leaves free can be rescaled in both modes."""

import unittest

import torch
import torch.nn.functional as F
from torch import nn

import oracle
from equinorm import NetworkBuilder, Network, TraceError, describe

IMAGE = (3, 4, 8, 8)  # a batch of 3 with 4 channels


def image(channels=4, side=8, seed=0):
    return torch.randn(3, channels, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def free(network):
    return {g.name: g.channels for g in network.groups if not g.reasons}


def reasons(network, name):
    return next(g.reasons for g in network.groups if g.name == name)


class Walk(unittest.TestCase):
    def exact(self, model, inputs, expected=None, example=None, **kwargs):
        """`expected`: name -> channels of the free groups."""
        torch.manual_seed(0)
        inputs = inputs if isinstance(inputs, list) else [inputs]
        network = describe(model, example)
        found = oracle.check(self, model, network, inputs, **kwargs)
        self.assertEqual(len(found.free_channels()), sum(g.channels for g in network.groups if not g.reasons and (g.sources or g.sinks)))
        if expected is not None:
            self.assertEqual(expected, free(network))
        # Reading the form back gives the same.
        again = Network.from_dict(network.to_dict(dict(model.named_parameters())))
        self.assertEqual(sorted(free(network).values()), sorted(free(again).values()))
        return network


def mlp(act=nn.ReLU):
    return nn.Sequential(nn.Linear(5, 7), act(), nn.Linear(7, 6), act(), nn.Linear(6, 3))


X = torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(7))


class Chains(Walk):
    def test_mlp(self):
        network = self.exact(mlp(), X, {"0": 7, "2": 6})
        groups = {g.name: g for g in network.groups}
        self.assertEqual(("0.weight", "0.bias"), groups["0"].sources)
        self.assertEqual(("2.weight",), groups["0"].sinks)
        self.assertEqual("network input input", groups["input of 0"].pinned)
        self.assertEqual("network output", groups["4"].pinned)
        self.assertEqual([2, 2, 1, 1, 0, 0], [u.height for u in network.uses])

    def test_mlp_on_sequences(self):
        self.exact(mlp(), X.reshape(2, 2, 5), {"0": 7, "2": 6})

    def test_homogeneous_activations(self):
        for act in (nn.LeakyReLU, nn.PReLU, nn.Identity, nn.RReLU, lambda: nn.Dropout(0.3), lambda: nn.LeakyReLU(0.2, inplace=True)):
            self.exact(mlp(act), X, {"0": 7, "2": 6})

    def test_prelu_for_each_channel(self):
        model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.PReLU(6), nn.Conv2d(6, 5, 3))
        network = self.exact(model, image(), {"0": 6})
        self.assertNotIn("1.weight", network.names)

    def test_other_activations_pin(self):
        for act in (nn.ReLU6, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.GELU, nn.SiLU, nn.ELU, nn.Softplus, nn.Hardswish, nn.Mish, nn.SELU):
            network = self.exact(mlp(act), X, {})
            self.assertIn(f"{act.__name__} 1", reasons(network, "0"))
        network = self.exact(nn.Sequential(nn.Linear(5, 7), nn.Softmax(-1), nn.Linear(7, 3)), X, {})
        self.assertIn("Softmax 1", reasons(network, "0"))

    def test_layer_norm_pins(self):
        network = self.exact(nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3)), X, {})
        self.assertIn("LayerNorm 1", reasons(network, "0"))

    def test_convolutions(self):
        for n in (1, 2, 3):
            conv, pool = getattr(nn, f"Conv{n}d"), getattr(nn, f"MaxPool{n}d")
            up, avg = getattr(nn, f"ConvTranspose{n}d"), getattr(nn, f"AvgPool{n}d")
            model = nn.Sequential(
                conv(4, 6, 3, padding=1), nn.ReLU(), pool(3, 2, padding=1), conv(6, 8, 3, padding=1, groups=2), nn.ReLU(),
                avg(3, 2, padding=1), up(8, 6, 2, stride=2, groups=2), nn.ReLU(), conv(6, 6, 3, groups=6), nn.LeakyReLU(), up(6, 2, 2),
            )
            x = torch.randn(2, 4, *([16] * n), dtype=torch.float64)
            self.exact(model, x, {"0": 6, "3": 8, "6": 6, "8": 6})

    def test_padding_modes(self):
        for mode in ("zeros", "circular", "reflect", "replicate"):
            model = nn.Sequential(nn.Conv2d(4, 5, 3, padding=1, padding_mode=mode), nn.ReLU(), nn.Conv2d(5, 2, 3, padding=2, padding_mode=mode))
            self.exact(model, image(), {"0": 5})

    def test_pads_and_pools(self):
        for layer in (
            nn.ZeroPad2d(1), nn.ConstantPad2d(1, 0.0), nn.ReflectionPad2d(1), nn.ReplicationPad2d(2), nn.AdaptiveAvgPool2d((3, None)),
            nn.AdaptiveMaxPool2d(3), nn.AvgPool2d(3, padding=1, count_include_pad=False), nn.Upsample(scale_factor=2),
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Dropout2d(0.5), nn.ChannelShuffle(2),
        ):
            if isinstance(layer, nn.ChannelShuffle):
                layer = nn.Identity()  # torch 1.13 has no kernel for its backward; the rule is tested by hand below
            self.exact(nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), layer, nn.Conv2d(6, 2, 2)), image(), {"0": 6})

    def test_constant_pad_pins(self):
        network = self.exact(nn.Sequential(nn.Conv2d(4, 6, 3), nn.ConstantPad2d(1, 1.5), nn.Conv2d(6, 2, 3)), image(), {})
        self.assertIn("ConstantPad2d 1", reasons(network, "0"))

    def test_flatten_has_positions(self):
        model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 10), nn.ReLU(), nn.Linear(10, 2))
        network = self.exact(model, image(), {"0": 6, "3": 10})
        self.assertEqual(6, len(next(u for u in network.uses if u.name == "3.weight").input))

    def test_channel_shuffle(self):
        from equinorm._rules import shuffle
        from equinorm._values import Activation

        x = torch.arange(12).reshape(1, 12, 1, 1).float()
        expected = x.reshape(1, 3, 4, 1, 1).transpose(1, 2).reshape(-1).int().tolist()
        self.assertEqual(expected, list(shuffle(None, Activation(tuple(range(12)), (-3,)), 3).channels))


class BatchNorm(Walk):
    def test_after_convolution(self):
        model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Conv2d(5, 2, 1))
        network = self.exact(model, image(), {"1": 6, "4": 5})
        self.assertEqual(("read by batch normalisation 1 in training",), reasons(network, "0"))
        kinds = {u.name: u.kind for u in network.uses}
        self.assertEqual("diagonal", kinds["1.weight"])
        self.assertEqual("bias", kinds["1.bias"])
        self.assertEqual({"0.weight": 4, "1.weight": 3, "3.weight": 2, "4.weight": 1, "6.weight": 0}, {u.name: u.height for u in network.uses if u.kind != "bias"})

    def test_variants(self):
        for norm in (
            nn.BatchNorm2d(6, affine=False), nn.BatchNorm2d(6, track_running_stats=False), nn.BatchNorm2d(6, momentum=None),
            nn.InstanceNorm2d(6, affine=True), nn.InstanceNorm2d(6), nn.GroupNorm(3, 6), nn.GroupNorm(2, 6, affine=False),
        ):
            has = getattr(norm, "affine", True)
            self.exact(nn.Sequential(nn.Conv2d(4, 6, 3), norm, nn.ReLU(), nn.Conv2d(6, 2, 3)), image(), {"1": 6} if has else {})

    def test_dense(self):
        self.exact(nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), X, {"1": 8})

    def test_dense_behind_flatten(self):
        model = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Flatten(), nn.BatchNorm1d(216), nn.ReLU(), nn.Linear(216, 3))
        self.exact(model, image(), {"2": 216})

    def test_one_dimension(self):
        model = nn.Sequential(nn.Conv1d(4, 6, 3), nn.BatchNorm1d(6), nn.ReLU(), nn.Conv1d(6, 2, 3))
        self.exact(model, torch.randn(3, 4, 9, dtype=torch.float64), {"1": 6})

    def test_three_dimensions_and_first(self):
        model = nn.Sequential(nn.BatchNorm3d(4), nn.ReLU(), nn.Conv3d(4, 3, 2), nn.BatchNorm3d(3), nn.ReLU(), nn.ConvTranspose3d(3, 2, 2))
        self.exact(model, torch.randn(3, 4, 4, 4, 4, dtype=torch.float64), {"0": 4, "3": 3})

    def test_two_readers(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.bn, self.b, self.c = nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Conv2d(6, 2, 1), nn.Conv2d(6, 2, 1)

            def forward(self, x):
                x = self.a(x)
                return self.b(F.relu(self.bn(x))) + self.c(x)

        network = self.exact(Model(), image(), {"bn": 6})
        self.assertIn("read by batch normalisation bn in training", reasons(network, "a"))


class Residual(nn.Module):
    def __init__(self, width=6):
        super().__init__()
        self.stem = nn.Conv2d(4, width, 3, padding=1)
        self.a, self.b = nn.Conv2d(width, 5, 3, padding=1), nn.Conv2d(5, width, 3, padding=1)
        self.c = nn.Conv2d(width, width, 1)
        self.head = nn.Linear(width, 3)

    def forward(self, x):
        x = F.relu(self.stem(x))
        x = x + self.b(F.relu(self.a(x)))
        x = torch.add(self.c(F.relu(x)), x)
        x -= 0.5 * x
        return self.head(x.mean([2, 3]))


class Graphs(Walk):
    def test_residual(self):
        network = self.exact(Residual(), image(), {"stem": 6, "a": 5})
        stream = next(g for g in network.groups if g.name == "stem")
        self.assertEqual(("stem.weight", "stem.bias", "b.weight", "b.bias", "c.weight", "c.bias"), stream.sources)
        self.assertEqual(("a.weight", "c.weight", "head.weight"), stream.sinks)
        heights = {u.name: u.height for u in network.uses}
        self.assertEqual((4, 3, 2, 1, 0), tuple(heights[f"{n}.weight"] for n in ("stem", "a", "b", "c", "head")))

    def test_depthwise(self):
        model = nn.Sequential(nn.Conv2d(4, 6, 1), nn.ReLU(), nn.Conv2d(6, 12, 3, groups=6), nn.ReLU(), nn.Conv2d(12, 2, 1))
        self.exact(model, image(), {"0": 6, "2": 12})

    def test_concat_split_chunk(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(10, 8, 1)
                self.d, self.e, self.f = nn.Conv2d(5, 3, 1), nn.Conv2d(5, 3, 1), nn.Conv2d(8, 3, 1)

            def forward(self, x):
                y = torch.cat([F.relu(self.a(x)), torch.relu(self.b(x))], dim=1)
                z = F.relu(self.c(y))
                u, v = y.chunk(2, 1)
                s, t, w = torch.split(z, [2, 2, 4], dim=-3)
                z = torch.cat((t, s, F.max_pool2d(w, 3, 1, 1)), 1)
                return self.d(u) + self.e(v) + self.f(z), z[:, 2:4].sum(dim=(2, 3)), y[:, :, ::2, 1]

        network = self.exact(Model(), image())
        # Channels 2 and 3 of z are s: the first two channels of c; all of y goes out.
        oracle_ = oracle.Oracle(network.to_dict(dict(Model().named_parameters())))
        self.assertEqual([False] * 2 + [True] * 6, oracle_.is_free("c"))
        self.assertEqual(6, len(oracle_.free_channels()))

    def test_add_of_concatenations_falls_apart(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c, self.d = nn.Conv2d(4, 2, 1), nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 1)
                self.e = nn.Conv2d(6, 2, 1)

            def forward(self, x):
                return self.e(torch.cat([self.a(x), self.b(x)], 1) + torch.cat([self.c(x), self.d(x)], 1))

        network = self.exact(Model(), image())
        self.assertEqual([1, 2, 3], sorted(free(network).values()))

    def test_shuffle_by_view(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 6, 1, groups=3), nn.Conv2d(6, 2, 1)

            def forward(self, x):
                x = F.relu(self.a(x))
                n, c, h, w = x.size()
                x = x.view(n, 3, c // 3, h, w).transpose(1, 2).contiguous().view(n, -1, h, w)
                x = F.relu(self.b(x))
                h, w = x.shape[2:]
                x = x.reshape(x.shape[0], 2, 3, x.size(2), x.size(3)).permute(0, 2, 1, 3, 4).reshape(n, c, h, w)
                return self.c(x)

        self.exact(Model(), image(), {"a": 6, "b": 6})

    def test_views_to_dense(self):
        class Model(nn.Module):
            def __init__(self, how):
                super().__init__()
                self.a, self.b, self.how = nn.Conv2d(4, 6, 1), nn.Linear(6 * 64, 3), how

            def forward(self, x):
                return self.b(self.how(F.relu(self.a(x))))

        certain = [
            lambda x: x.view(x.size(0), -1), lambda x: torch.flatten(x, 1), lambda x: x.flatten(1), lambda x: x.reshape(x.shape[0], 384),
            lambda x: x.flatten(2).flatten(1),
        ]
        for how in certain:
            self.exact(Model(how), image(), {"a": 6})
        # Whether the batch stays the batch cannot be seen without extents.
        for how in (lambda x: x.view(-1, 384), lambda x: x.view(3, -1)):
            network = self.exact(Model(how), image(), {})
            self.assertTrue(any("function view" in r for r in reasons(network, "a")))
            self.exact(Model(how), image(), {"a": 6}, example=image().float())

    def test_view_that_mixes(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Conv2d(4, 8, 1), nn.Linear(64, 3)

            def forward(self, x):
                return self.b(F.relu(self.a(x)).view(-1, 64))

        self.exact(Model(), image(), {})
        self.exact(Model(), image(), {}, example=image().float())

    def test_transposed_flatten_pins(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Conv2d(4, 8, 1), nn.Linear(512, 3)

            def forward(self, x):
                return self.b(self.a(x).permute(0, 2, 3, 1).flatten(1))

        self.exact(Model(), image(), {})

    def test_channels_last_dense(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Conv2d(4, 8, 1), nn.Linear(8, 3)

            def forward(self, x):
                return self.b(self.a(x).permute(0, 2, 3, 1))

        self.exact(Model(), image(), {"a": 8})

    def test_unflatten_to_image_pins(self):
        model = nn.Sequential(nn.Linear(5, 64), nn.Unflatten(1, (4, 4, 4)), nn.ConvTranspose2d(4, 3, 2), nn.ReLU(), nn.Conv2d(3, 1, 1))
        self.exact(model, X, {"2": 3})

    def test_tied(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c, self.d = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
                self.c.weight = self.b.weight

            def forward(self, x):
                return self.d(F.relu(self.c(F.relu(self.b(F.relu(self.a(x)))))))

        network = self.exact(Model(), X)
        self.assertEqual(2, sum(u.name == "b.weight" for u in network.uses))
        self.assertNotIn("c.weight", network.names)
        # What b reads is tied to what c reads, and b's output is c's input: one group of six.
        self.assertEqual([6], sorted(free(network).values()))

    def test_module_called_twice(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)

            def forward(self, x):
                for _ in range(3):
                    x = F.relu(self.b(x)) if x.ndim == -1 else x
                x = self.a(x)
                return self.c(self.b(F.relu(self.b(F.relu(x)))))

        with self.assertRaises(TraceError):
            describe(Model())  # a loop over a condition on a value

        class Fine(Model):
            def forward(self, x):
                return self.c(self.b(F.relu(self.b(F.relu(self.a(x))))))

        network = self.exact(Fine(), X)
        self.assertEqual([6], sorted(free(network).values()))

    def test_parameter_by_name(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.w, self.b = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(6))
                self.v = nn.Parameter(torch.randn(3, 6))

            def forward(self, x):
                return F.linear(F.relu(F.linear(x, self.w, self.b)), self.v)

        self.exact(Model(), X)
        self.assertEqual([6], list(free(describe(Model())).values()))

    def test_parameter_read_elsewhere_pins(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(5, 6), nn.Linear(6, 3)

            def forward(self, x):
                return self.b(F.relu(self.a(x))), self.a.weight.abs().sum()

        network = self.exact(Model(), X, {})
        self.assertTrue(any("parameter a.weight is also read by" in r for r in reasons(network, "a")))

    def test_tied_embedding_pins(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.embedding, self.a, self.b = nn.Embedding(9, 5), nn.Linear(5, 5), nn.Linear(5, 9, bias=False)
                self.b.weight = self.embedding.weight

            def forward(self, x):
                return self.b(F.relu(self.a(self.embedding(x))))

        network = self.exact(Model(), torch.tensor([[1, 2], [3, 4]]), {})
        self.assertTrue(any("also read by Embedding embedding" in r for g in network.pinned for r in g.reasons))

    def test_frozen(self):
        model = mlp()
        model[2].weight.requires_grad_(False)
        network = self.exact(model, X, {})
        self.assertIn("parameter 2.weight is frozen (requires_grad is False)", reasons(network, "0"))
        model = nn.Sequential(*mlp(), nn.ReLU(), nn.Linear(3, 2))
        model[2].bias.requires_grad_(False)
        self.exact(model, X, {"0": 7, "4": 3})

    def test_product_pins(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 3)

            def forward(self, x):
                return self.c(self.a(x) * self.b(x))

        network = self.exact(Model(), X, {})
        self.assertTrue(any("product of activations" in r for r in reasons(network, "a")))

    def test_scalars(self):
        class Model(nn.Module):
            def __init__(self, f):
                super().__init__()
                self.a, self.c, self.f = nn.Linear(5, 6), nn.Linear(6, 3), f

            def forward(self, x):
                return self.c(self.f(self.a(x)))

        for f in (lambda x: 2 * x, lambda x: x * -0.5, lambda x: x / 3, lambda x: -x, lambda x: torch.abs(x), lambda x: x.mul_(2), lambda x: x + 0, lambda x: 0 - x, lambda x: x.clone().relu_()):
            self.exact(Model(f), X, {"a": 6})
        for f in (lambda x: x + 1, lambda x: 1 - x, lambda x: x**2, lambda x: 1 / (x * x + 1), lambda x: x.clamp(-1, 1), lambda x: x.clamp_(max=0.5), lambda x: torch.sin(x), lambda x: F.normalize(x), lambda x: x.softmax(-1), lambda x: x.sort(-1)[0], lambda x: x.flip(-1), lambda x: x.cumsum(-1), lambda x: x @ torch.ones(6, 6, dtype=torch.float64), lambda x: torch.where(x > 1, x, 2 * x), lambda x: x.masked_fill(x > 1, 0.5), lambda x: x.roll(1, -1)):
            self.exact(Model(f), X, {})

    def test_maximum_ties(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(6, 3)

            def forward(self, x):
                return self.c(torch.max(self.a(x), self.b(x)))

        self.exact(Model(), X, {"a": 6})

    def test_reduction_over_channels_pins(self):
        class Model(nn.Module):
            def __init__(self, f):
                super().__init__()
                self.a, self.c, self.f = nn.Conv2d(4, 6, 1), nn.Conv2d(6, 3, 1), f

            def forward(self, x):
                x = self.a(x)
                return self.c(self.f(x) + x)

        for f in (lambda x: x.mean(1, keepdim=True), lambda x: x.max(dim=1, keepdim=True)[0], lambda x: x.sum(), lambda x: x.std((2, 3), keepdim=True)):
            self.exact(Model(f), image(), {})
        for f in (lambda x: x.mean((2, 3), keepdim=True), lambda x: torch.amax(x, dim=(-1, -2), keepdim=True), lambda x: x.max(dim=3, keepdim=True)[0]):
            self.exact(Model(f), image(), {"a": 6})

    def test_broadcast_over_channels_pins(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Conv2d(4, 6, 1), nn.Conv2d(4, 1, 1), nn.Conv2d(6, 3, 1)

            def forward(self, x):
                return self.c(self.a(x) + self.b(x))

        self.exact(Model(), image(), {})

    def test_input_added(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 3, 1)

            def forward(self, x):
                return self.c(self.a(x) + x)

        network = self.exact(Model(), image(), {})
        self.assertTrue(any("network input x" in r for r in reasons(network, "a")))

    def test_concat_with_input_needs_an_example(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.c = nn.Conv2d(4, 4, 1), nn.Conv2d(8, 3, 1)

            def forward(self, x):
                return self.c(torch.cat([self.a(x), x], 1))

        self.exact(Model(), image(), {})
        self.exact(Model(), image(), {"a": 4}, example=(image().float(),))

    def test_concat_of_vectors(self):
        class Model(nn.Module):
            def __init__(self, dim):
                super().__init__()
                self.a, self.b, self.c, self.dim = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(8, 3), dim

            def forward(self, x):
                return self.c(torch.cat([self.a(x), self.b(x)], self.dim))

        self.exact(Model(-1), X, {"a": 4, "b": 4})
        self.exact(Model(1), X, {})  # along the last dimension only if there are two
        self.exact(Model(1), X, {"a": 4, "b": 4}, example=X.float())


class Odd(Walk):
    def test_hooks_pin(self):
        model = mlp()
        model[1].register_forward_hook(lambda module, args, out: None)
        network = self.exact(model, X, {"2": 6})
        self.assertTrue(any("module 1 with hooks" in r for r in reasons(network, "0")))

    def test_hooks_on_a_block_pin_and_do_not_run(self):
        model = nn.Sequential(nn.Sequential(nn.Linear(5, 7), nn.ReLU()), nn.Sequential(nn.Linear(7, 6), nn.ReLU()), nn.Linear(6, 3))
        seen = []
        model[0].register_forward_hook(lambda module, args, out: seen.append(out))
        network = describe(model)
        self.assertEqual([], seen)
        self.assertEqual(1, len(model[0]._forward_hooks))
        self.assertEqual({"1.0": 6}, free(network))
        self.assertIn("hooks of module 0", reasons(network, "0.0"))

    def test_weight_norm_and_parametrizations_pin(self):
        for wrap in (nn.utils.weight_norm, nn.utils.spectral_norm, nn.utils.parametrizations.orthogonal):
            model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), wrap(nn.Linear(7, 6)), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
            network = describe(model)
            self.assertEqual({"4": 4}, free(network))
            self.assertTrue(any("module 2 with" in r for r in reasons(network, "0")))

    def test_control_flow_in_a_block(self):
        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(6, 6)

            def forward(self, x):
                return self.a(x) if x.sum() > 0 else x

        model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 6), Block(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
        network = self.exact(model, X, {"0": 7, "4": 4})
        self.assertTrue(any("module 3, which cannot be followed" in r for r in reasons(network, "2")))

    def test_branch_on_type(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(5, 6), nn.Sigmoid(), nn.Linear(6, 3)

            def forward(self, x):
                x = self.a(x)
                return self.c(self.b(x) if isinstance(x, torch.Tensor) else x[0])

        self.exact(Model(), X, {})

    def test_training_differs_from_evaluation(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b, self.c = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)

            def forward(self, x):
                x = self.a(x)
                x = F.relu(x) if self.training else torch.sigmoid(x)
                x = F.relu(self.b(x))
                return self.c(x) if self.training else self.c(-x)

        model = Model()
        network = self.exact(model, X, {"b": 6})
        self.assertTrue(model.training)
        self.assertEqual(3, len([u for u in network.uses if u.kind == "weight"]))

    def test_flags_take_their_defaults(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.c = nn.Linear(5, 6), nn.Linear(6, 3)

            def forward(self, x, features=False):
                x = F.relu(self.a(x))
                if features:
                    return x
                return self.c(x)

        network = self.exact(Model(), X, {"a": 6})
        self.assertIn("features=False", network.notes[0])

    def test_shared_memory_pins(self):
        model = mlp()
        model[0].bias.data = model[4].weight.data.view(-1)[:7]
        network = describe(model)
        self.assertTrue(any("shares memory" in r for g in network.pinned for r in g.reasons))

    def test_wrappers(self):
        network = describe(nn.DataParallel(mlp()))
        self.assertEqual(("0.weight", "0.bias"), network.names[:2])

    def test_root_that_cannot_be_followed(self):
        class Model(nn.Module):
            def forward(self, x):
                return x if x.sum() > 0 else -x

        with self.assertRaisesRegex(TraceError, "network="):
            describe(Model())
        with self.assertRaises(TraceError):
            describe(torch.jit.script(mlp()))

    def test_tracing_leaves_no_trace(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a = nn.Linear(5, 6)
                self.plain = [torch.ones(6, dtype=torch.float64)]

            def forward(self, x):
                return self.a(x) + self.plain[0]

        model = Model()
        model.a.eval()
        before = dict(vars(model))
        self.exact(model, X, {})
        model = Model()
        before, modes = set(vars(model)), [m.training for m in model.modules()]
        describe(model)
        self.assertEqual(before, set(vars(model)))
        self.assertEqual(modes, [m.training for m in model.modules()])

    def test_unknown_modules_pin(self):
        model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.LSTM(6, 6))
        network = describe(model)
        self.assertEqual({}, free(network))
        self.assertIn("LSTM 2", reasons(network, "0"))
        for layer, x in ((nn.PixelShuffle(2), image()), (nn.Fold((8, 8), 1), None), (nn.GLU(1), image()), (nn.LPPool2d(2, 2), image())):
            model = nn.Sequential(nn.Conv2d(4, 8, 1), nn.ReLU(), layer)
            self.assertEqual({}, free(describe(model)))

    def test_dict_outputs(self):
        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.a, self.b = nn.Linear(5, 6), nn.Linear(6, 3)

            def forward(self, x):
                h = F.relu(self.a(x))
                return {"logits": self.b(h), "features": [h]}

        self.exact(Model(), X, {})


class ByHand(Walk):
    def test_builder(self):
        b = NetworkBuilder()
        x, h, y = b.axis("x", 5, pinned="network input"), b.axis("h", 7), b.axis("y", 6)
        out = b.axis("out", 3, pinned="network output")
        b.weight("0.weight", output=h, input=x)
        b.bias("0.bias", h)
        b.weight("2.weight", output=y, input=h)
        b.bias("2.bias", y)
        b.weight("4.weight", output=out, input=y)
        b.bias("4.bias", out)
        b.pin(y[2:4], "by request")
        network = b.build()
        self.assertEqual({"h": 7, "y": 4}, free(network))
        oracle.check(self, mlp(), network, [X])
        self.assertEqual({"4.weight", "2.weight", "2.bias", "0.weight", "0.bias"}, network.touched)

    def test_example_of_the_document(self):
        import json
        import pathlib
        import re

        text = (pathlib.Path(__file__).parents[2] / "docs" / "network-json.md").read_text()
        network = Network.from_dict(json.loads(re.search("```json\n(.*?)```", text, re.S).group(1)))
        self.assertEqual({"stem": 16}, free(network))


if __name__ == "__main__":
    unittest.main()
