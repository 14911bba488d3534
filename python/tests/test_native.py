"""With the native library: what a step and a solve do to models. Skipped, with the reason, where there is no library."""

import copy
import gc
import threading
import unittest
import warnings

import torch
import torch.nn.functional as F
from torch import nn

import equinorm
import oracle
from equinorm import EquiNorm
from equinorm import _library as native

try:
    LIBRARY, REASON = native.load(), ""
except equinorm.LibraryNotFoundError as error:
    LIBRARY, REASON = None, str(error)

try:
    from torchvision import models
except ImportError:
    models = None


def unbalanced(model, spread=1.0, seed=0):
    """Rescales at random what can be: the function stays."""
    network = equinorm.describe(model)
    o = oracle.Oracle(network.to_dict(dict(model.named_parameters())))
    scales = o.scales(o.random_factors(seed, spread))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in scales:
                p.mul_(scales[name].to(p.dtype))
    return model


def mlp(dtype=torch.float64, sizes=(5, 7, 6, 3), bias=True, seed=0):
    torch.manual_seed(seed)
    layers = []
    for a, b in zip(sizes, sizes[1:]):
        layers += [nn.Linear(a, b, bias=bias), nn.ReLU()]
    return unbalanced(nn.Sequential(*layers[:-1]).to(dtype))


def convnet(dtype=torch.float64, bias=False):
    torch.manual_seed(0)
    return unbalanced(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=bias), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1, bias=bias), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(12, 6, 3, bias=bias), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 4, 10, bias=bias), nn.ReLU(), nn.Linear(10, 4, bias=bias),
        ).to(dtype)
    )


def objective(model, p=2):
    return sum(t.detach().double().abs().pow(p).sum().item() for n, t in model.named_parameters() if n.endswith("weight"))


class Scales:
    """What all steps so far have multiplied each parameter by, from log_factors."""

    def __init__(self, enorm, model):
        self.enorm = enorm
        self.entries = {w["name"]: w for w in enorm.network.to_dict(dict(model.named_parameters()))["weights"]}
        self.total = {name: torch.ones(w["shape"], dtype=torch.float64) for name, w in self.entries.items()}

    def update(self):
        for name, w in self.entries.items():
            out = self.enorm.log_factors(name).exp()
            inp = self.enorm.log_factors(name, "input").exp() if w.get("kind") != "bias" else torch.ones(0)
            self.total[name] *= oracle._scale(w, out, inp)
        return self.total


@unittest.skipIf(LIBRARY is None, REASON)
class Native(unittest.TestCase):
    def relative(self, a, b):
        return (a - b).abs().max().item() / max(b.abs().max().item(), 1e-300)

    def test_groups_agree(self):
        import json

        for model in (mlp(), convnet(), *([models.resnet18(weights=None), models.squeezenet1_1(weights=None)] if models else [])):
            network = equinorm.describe(model)
            handle = LIBRARY.network(network.to_json(dict(model.named_parameters())))
            groups = json.loads(LIBRARY.groups(handle))
            LIBRARY.en_network_free(handle)
            groups = groups["groups"] if isinstance(groups, dict) else groups

            def count(g):
                return g.get("channels", g.get("count"))

            ours = sorted(g.channels for g in network.groups if not g.reasons)
            theirs = sorted(count(g) for g in groups if not (g.get("pinned") or g.get("pinnedBecause")))
            self.assertEqual(ours, theirs)

    def torchvision(self, name):
        torch.manual_seed(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = oracle.awaken(getattr(models, name)(weights=None))
        model = unbalanced(model, 0.5)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
        x = torch.randn(2, 3, 64, 64)
        model.train()
        model(x).sum().backward()
        optimizer.step()
        for training in (False, True):
            twin = copy.deepcopy(model).train(training).double()
            with EquiNorm(model, optimizer) as enorm:
                before = enorm.network
                y = oracle.outputs(twin, [x.double()])
                for _ in range(3):
                    enorm.step()
                report = enorm.report()
                self.assertTrue(report.applied)
                after = copy.deepcopy(model).train(training).double()
                # In double: what is compared is the rescaling of the float32 weights, not the arithmetic of the forward pass.
                self.assertLess(oracle.deviation(oracle.outputs(after, [x.double()]), y), 2e-5)
                if not training:
                    result = enorm.solve()
                    self.assertTrue(result.converged, result)
                    self.assertLess(result.gap_bound if result.gap_bound is not None else 0, 1e-8)
                    self.assertLess(result.objective, report.objective_before * (1 + 1e-6))
                    after = copy.deepcopy(model).train(training).double()
                    self.assertLess(oracle.deviation(oracle.outputs(after, [x.double()]), y), 2e-5)
        return before

    @unittest.skipIf(models is None, "torchvision is not installed")
    def test_resnet18_keeps_its_function(self):
        self.torchvision("resnet18")

    @unittest.skipIf(models is None, "torchvision is not installed")
    def test_mobilenet_v2_keeps_its_function(self):
        network = self.torchvision("mobilenet_v2")
        self.assertTrue(any("ReLU6 features.1.conv.0.2" in r for g in network.pinned for r in g.reasons))

    def test_objective_falls_to_the_optimum(self):
        model = mlp(sizes=(7, 33, 17, 29, 3))
        x = torch.randn(4, 7, dtype=torch.float64)
        y = model(x).detach()
        enorm = EquiNorm(model)
        last = objective(model)
        for _ in range(30):
            enorm.step()
            self.assertAlmostEqual(1, enorm.report().objective_before / last, places=9)
            self.assertLessEqual(objective(model), last * (1 + 1e-12))
            last = objective(model)
        result = enorm.solve(1e-10)
        self.assertTrue(result.converged)
        self.assertLess(abs(last / result.objective - 1), 1e-6)
        self.assertLess(self.relative(model(x), y), 1e-11)
        # Balanced: incoming and outgoing norms are equal for each hidden channel.
        for a, b in ((0, 2), (2, 4), (4, 6)):
            inward, outward = model[a].weight.detach().norm(dim=1), model[b].weight.detach().norm(dim=0)
            self.assertLess((inward / outward - 1).abs().max().item(), 1e-3)

    def test_p_and_c(self):
        model = mlp(sizes=(4, 9, 8, 3))
        EquiNorm(model, p=1).solve(1e-12)
        inward, outward = model[0].weight.detach().abs().sum(1), model[2].weight.detach().abs().sum(0)
        self.assertLess((inward / outward - 1).abs().max().item(), 1e-4)
        c = 1.3
        EquiNorm(model, c=c).solve(1e-12)
        for a, b in ((0, 2), (2, 4)):
            # d = sqrt(R / L) / sqrt(c) is stationary at R = c L.
            ratio = model[b].weight.detach().norm(dim=0) / model[a].weight.detach().norm(dim=1)
            self.assertLess((ratio / c - 1).abs().max().item(), 1e-4)

    def test_step_is_the_formula_of_the_reference(self):
        """All norms from the start of the step, d = sqrt(R / L), weights by d_out / d_in, momentum by its inverse; no biases."""
        model = convnet()
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
        x = torch.randn(6, 3, 8, 8, dtype=torch.float64)
        enorm = EquiNorm(model, optimizer, coarse_correction=False)
        for _ in range(4):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
            layers = [m for m in model if isinstance(m, (nn.Conv2d, nn.Linear))]
            weights = [m.weight.detach().clone() for m in layers]
            buffers = [optimizer.state[m.weight]["momentum_buffer"].clone() for m in layers]
            d = []
            for left, right in zip(weights, weights[1:]):
                channels = left.shape[0]
                into = left.reshape(channels, -1).norm(dim=1)
                # As [outputs, channels, positions]: a dense layer behind a flatten has the positions innermost.
                out = right.reshape(right.shape[0], channels, -1).pow(2).sum((0, 2)).sqrt()
                d.append((out / into).sqrt())
            enorm.step()
            for k, m in enumerate(layers):
                s = torch.ones_like(weights[k])
                if k < len(d):
                    s *= d[k].reshape([-1] + [1] * (s.dim() - 1))
                if k > 0:
                    inner = d[k - 1].repeat_interleave(s.shape[1] // len(d[k - 1]))
                    s /= inner.reshape([1, -1] + [1] * (s.dim() - 2))
                self.assertLess(self.relative(m.weight.detach(), weights[k] * s), 1e-6)
                self.assertLess(self.relative(optimizer.state[m.weight]["momentum_buffer"], buffers[k] / s), 1e-6)

    def sgd_equivalence(self, dtype, tolerance):
        plain, scaled = mlp(dtype), mlp(dtype)
        make = lambda m: torch.optim.SGD(m.parameters(), 0.01, momentum=0.9)
        a, b = make(plain), make(scaled)
        enorm = EquiNorm(scaled, b, momentum="keep")
        s = Scales(enorm, scaled)
        x = torch.randn(16, 5, dtype=dtype, generator=torch.Generator().manual_seed(3))
        for _ in range(20):
            for model, optimizer in ((plain, a), (scaled, b)):
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                if model is scaled:
                    for name, p in model.named_parameters():
                        p.grad.mul_((s.total[name] ** 2).to(dtype))
                optimizer.step()
            enorm.step()
            s.update()
        for (name, p), (_, q) in zip(plain.named_parameters(), scaled.named_parameters()):
            self.assertLess(self.relative(q.detach() / s.total[name].to(dtype), p.detach()), tolerance, name)
            self.assertLess(self.relative(b.state[q]["momentum_buffer"] / s.total[name].to(dtype), a.state[p]["momentum_buffer"]), 50 * tolerance, name)
        self.assertGreater(max(t.log().abs().max().item() for t in s.total.values()), 0.3)

    def adam_equivalence(self, dtype, tolerance, make):
        plain, scaled = mlp(dtype), mlp(dtype)
        a, b = make(plain), make(scaled)
        enorm = EquiNorm(scaled, b)
        s = Scales(enorm, scaled)
        x = torch.randn(16, 5, dtype=dtype, generator=torch.Generator().manual_seed(3))
        for _ in range(20):
            for model, optimizer in ((plain, a), (scaled, b)):
                optimizer.zero_grad()
                model(x).pow(2).mean().backward()
                before = {n: p.detach().clone() for n, p in model.named_parameters()}
                optimizer.step()
                if model is scaled:
                    with torch.no_grad():
                        for name, p in model.named_parameters():
                            p.copy_(before[name] + s.total[name].to(dtype) * (p - before[name]))
            enorm.step()
            s.update()
        for (name, p), (_, q) in zip(plain.named_parameters(), scaled.named_parameters()):
            t = s.total[name].to(dtype)
            self.assertLess(self.relative(q.detach() / t, p.detach()), tolerance, name)
            self.assertLess(self.relative(b.state[q]["exp_avg"] * t, a.state[p]["exp_avg"]), 50 * tolerance, name)
            self.assertLess(self.relative(b.state[q]["exp_avg_sq"] * t * t, a.state[p]["exp_avg_sq"]), 50 * tolerance, name)
        self.assertGreater(max(t.log().abs().max().item() for t in s.total.values()), 0.3)

    def test_sgd_trajectory(self):
        self.sgd_equivalence(torch.float64, 1e-12)
        self.sgd_equivalence(torch.float32, 1e-4)

    def test_adam_trajectory(self):
        for amsgrad in (False, True):
            self.adam_equivalence(torch.float64, 1e-12, lambda m: torch.optim.Adam(m.parameters(), 1e-3, eps=1e-30, amsgrad=amsgrad))
        self.adam_equivalence(torch.float32, 1e-4, lambda m: torch.optim.Adam(m.parameters(), 1e-3, eps=1e-30))

    def test_state_moves_by_the_rule(self):
        for make, rule in (
            (lambda p: torch.optim.RMSprop(p, 1e-3, momentum=0.9, centered=True), {"square_avg": -2, "grad_avg": -1, "momentum_buffer": 0}),
            (lambda p: torch.optim.Adagrad(p, 1e-3), {"sum": -2}),
            (lambda p: torch.optim.Adam(p, 1e-3, amsgrad=True), {"exp_avg": -1, "exp_avg_sq": -2, "max_exp_avg_sq": -2}),
            (lambda p: torch.optim.SGD(p, 1e-3, momentum=0.9), {"momentum_buffer": -1}),
        ):
            model = mlp()
            optimizer = make(model.parameters())
            model(torch.randn(4, 5, dtype=torch.float64)).pow(2).mean().backward()
            optimizer.step()
            before = {n: {k: optimizer.state[p][k].clone() for k in rule} for n, p in model.named_parameters()}
            gradients = {n: p.grad.clone() for n, p in model.named_parameters()}
            enorm = EquiNorm(model, optimizer, gradients=True)
            s = Scales(enorm, model)
            enorm.step()
            s.update()
            for n, p in model.named_parameters():
                for k, power in rule.items():
                    self.assertLess(self.relative(optimizer.state[p][k], before[n][k] * s.total[n] ** power), 1e-13, (n, k))
                self.assertLess(self.relative(p.grad, gradients[n] / s.total[n]), 1e-13)

    def test_companions(self):
        model = mlp(torch.bfloat16)
        masters = {n: p.detach().float().clone() for n, p in model.named_parameters()}
        average = copy.deepcopy(model)
        before = {n: p.clone() for n, p in masters.items()}
        enorm = EquiNorm(model, companions=[average, masters])
        s = Scales(enorm, model)
        enorm.step()
        s.update()
        for n, p in model.named_parameters():
            self.assertTrue(torch.equal(p, dict(average.named_parameters())[n]))
            self.assertLess(self.relative(masters[n].double(), before[n].double() * s.total[n]), 1e-6)
            self.assertLess(self.relative(p.detach().double(), masters[n].double()), 1e-2)

    def test_dtypes(self):
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-14)):
            model = mlp(dtype)
            before = {n: p.detach().double().clone() for n, p in model.named_parameters()}
            enorm = EquiNorm(model)
            s = Scales(enorm, model)
            enorm.step()
            s.update()
            for n, p in model.named_parameters():
                self.assertEqual(dtype, p.dtype)
                self.assertLess(self.relative(p.detach().double(), before[n] * s.total[n]), tolerance)
        model = mlp(torch.float32)
        model[2].double()
        model[4].half()
        EquiNorm(model).step()
        self.assertEqual([torch.float32, torch.float64, torch.float16], [model[k].weight.dtype for k in (0, 2, 4)])

    def test_channels_last(self):
        a, b = convnet(torch.float32, bias=True), convnet(torch.float32, bias=True).to(memory_format=torch.channels_last)
        EquiNorm(a).step()
        EquiNorm(b).step()
        for p, q in zip(a.parameters(), b.parameters()):
            self.assertLess(self.relative(q.detach(), p.detach()), 1e-6)

    def test_same_bits_for_every_number_of_threads(self):
        results = []
        for threads in (1, 2, 0):
            model = convnet(torch.float32)
            enorm = EquiNorm(model, threads=threads)
            for _ in range(3):
                enorm.step()
            results.append([p.detach().clone() for p in model.parameters()])
        for other in results[1:]:
            self.assertTrue(all(torch.equal(a, b) for a, b in zip(results[0], other)))

    def test_versions_and_backward(self):
        model = mlp()
        loss = model(torch.ones(2, 5, dtype=torch.float64)).sum()
        EquiNorm(model).step()
        with self.assertRaisesRegex(RuntimeError, "modified by an inplace operation"):
            loss.backward()

    def test_rebinding(self):
        model = mlp(torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        enorm = EquiNorm(model, optimizer)
        x = torch.randn(4, 5)
        for change in (
            lambda: None, lambda: optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict())),
            lambda: setattr(model[2].weight, "data", model[2].weight.data.clone()), lambda: model.load_state_dict(copy.deepcopy(model.state_dict())),
            lambda: setattr(model[2].weight, "data", model[2].weight.data.t().contiguous().t()), lambda: optimizer.state.clear() or model.double(),
        ):
            dtype = model[0].weight.dtype
            optimizer.zero_grad(set_to_none=True)
            model(x.to(dtype)).sum().backward()
            optimizer.step()
            change()
            with torch.no_grad():
                model[0].weight.mul_(3)
                model[2].weight.div_(3)
                y = model(x.to(model[0].weight.dtype))
                before = model[2].weight.clone()
                enorm.step()
                self.assertFalse(torch.equal(before, model[2].weight))
                self.assertLess(self.relative(model(x.to(model[0].weight.dtype)), y), 2e-5)

    def test_non_finite(self):
        model = mlp()
        with torch.no_grad():
            model[2].weight[1, 2] = float("nan")
        before = [p.detach().clone() for p in model.parameters()]
        enorm = EquiNorm(model)
        for call in (enorm.step, enorm.solve):
            with self.assertRaisesRegex(equinorm.NonFiniteError, "2.weight"):
                call()
        for a, b in zip(before, model.parameters()):
            self.assertTrue(torch.equal(a.nan_to_num(), b.nan_to_num()))
        with torch.no_grad():
            model[2].weight[1, 2] = 1.0
        enorm.step()

    def test_dead_channel(self):
        model = mlp()
        with torch.no_grad():
            model[0].weight[3] = 0
        enorm = EquiNorm(model)
        enorm.step()
        self.assertEqual(1, enorm.report().frozen_channels)
        self.assertTrue(all(p.isfinite().all() for p in model.parameters()))

    def test_errors_of_the_library(self):
        network = equinorm.describe(mlp()).to_dict()
        with self.assertRaises(equinorm.InvalidNetworkError):
            LIBRARY.network("{}")
        with self.assertRaisesRegex(equinorm.EquiNormError, "."):
            EquiNorm(mlp(torch.float32), network=equinorm.describe(mlp()).to_dict(dict(mlp().named_parameters())))
        del network

    def test_memory_does_not_grow(self):
        import resource

        model = mlp(torch.float32)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)
        model(torch.ones(2, 5)).sum().backward()
        optimizer.step()
        enorm = EquiNorm(model, optimizer)
        for _ in range(2000):
            enorm.step()
        growth = []  # KiB; what the runtime takes once (a heap, a recompilation) is not a leak, which grows in every block
        for _ in range(3):
            gc.collect()
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            for _ in range(10000):
                enorm.step()
            growth.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
            if growth[-1] < 4096:
                break
        self.assertLess(min(growth), 4096, growth)

    def test_two_threads(self):
        reference = mlp(torch.float32)
        single = EquiNorm(reference)
        for _ in range(50):
            single.step()
        results, errors = [], []

        def work():
            try:
                model = mlp_copies.pop()
                with EquiNorm(model) as enorm:
                    for _ in range(50):
                        enorm.step()
                results.append(model)
            except Exception as error:  # reported by the assertion below
                errors.append(error)

        mlp_copies = [mlp(torch.float32), mlp(torch.float32)]
        threads = [threading.Thread(target=work) for _ in range(2)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        self.assertEqual([], errors)
        for model in results:
            self.assertTrue(all(torch.equal(a, b) for a, b in zip(model.parameters(), reference.parameters())))

    def test_free_while_open(self):
        for _ in range(20):
            enorm = EquiNorm(mlp())
            enorm.step()
            del enorm
        gc.collect()


if __name__ == "__main__":
    unittest.main()
