"""What the tests believe instead of the package: reads a description as the document says, applies factors, compares functions.

Shares no code with the package; works on the JSON form alone.
"""

import copy
import math

import torch


class Oracle:
    """Channels of a description as unknowns: union-find over (axis, position)."""

    def __init__(self, description):
        self.description = description
        self.counts = {a["name"]: a["channels"] for a in description["axes"]}
        assert len(self.counts) == len(description["axes"]), "axis names must be unique"
        self.parent = {}
        self.pinned = set()
        for tie in description.get("ties", []):
            lists = [self.channels(r) for r in tie]
            assert len({len(l) for l in lists}) == 1, f"a tie of different lengths: {tie}"
            for other in lists[1:]:
                for a, b in zip(lists[0], other):
                    self.union(a, b)
        first = {}
        for w in description["weights"]:
            out, inp = self.channels(w["output"]), self.channels(w.get("input", []))
            if w["name"] in first:
                for a, b in zip(first[w["name"]], out + inp):
                    self.union(a, b)
            first.setdefault(w["name"], out + inp)
        for axis in description["axes"]:
            if axis.get("pinned") is not None:
                self.pinned.update(self.find((axis["name"], c)) for c in range(axis["channels"]))

    def find(self, c):
        while self.parent.get(c, c) != c:
            c = self.parent[c]
        return c

    def union(self, a, b):
        a, b = self.find(a), self.find(b)
        if a != b:
            self.parent[max(a, b)] = min(a, b)

    def channels(self, reference):
        out = []
        for part in reference if isinstance(reference, list) else [reference]:
            if isinstance(part, str):
                out += [(part, c) for c in range(self.counts[part])]
            else:
                start, count = part["start"], part["count"]
                assert 0 <= start and start + count <= self.counts[part["axis"]]
                out += [(part["axis"], c) for c in range(start, start + count)]
        return out

    def is_free(self, reference):
        return [self.find(c) not in self.pinned for c in self.channels(reference)]

    def free_channels(self):
        """Free unknowns that some weight touches."""
        used = set()
        for w in self.description["weights"]:
            used.update(self.find(c) for c in self.channels(w["output"]) + self.channels(w.get("input", [])))
        return used - self.pinned

    def random_factors(self, seed, spread=0.7):
        g = torch.Generator().manual_seed(seed)
        free = sorted(self.free_channels())
        return dict(zip(free, torch.exp(spread * torch.randn(len(free), generator=g, dtype=torch.float64)).tolist()))

    def scales(self, factors):
        """Name -> tensor of what each element of a parameter is multiplied by, in the parameter's shape."""
        result = {}
        for w in self.description["weights"]:
            d_out = torch.tensor([factors.get(self.find(c), 1.0) for c in self.channels(w["output"])], dtype=torch.float64)
            d_in = torch.tensor([factors.get(self.find(c), 1.0) for c in self.channels(w.get("input", []))], dtype=torch.float64)
            scale = _scale(w, d_out, d_in)
            assert list(scale.shape) == w["shape"], (w["name"], scale.shape, w["shape"])
            if w["name"] in result:
                assert torch.equal(result[w["name"]], scale), f"{w['name']}: two uses with different factors"
            result[w["name"]] = scale
        return result


def _scale(w, d_out, d_in):
    shape, kind, groups = w["shape"], w.get("kind", "weight"), w.get("groups", 1)
    if kind == "bias":
        return d_out.clone()
    if kind == "diagonal":
        return d_out / d_in
    if w.get("order", "output-input") == "output-input":
        each_out, each_in = len(d_out) // groups, len(d_in) // groups
        blocks = [d_out[g * each_out : (g + 1) * each_out, None] / d_in[None, g * each_in : (g + 1) * each_in] for g in range(groups)]
    else:
        each_out, each_in = len(d_out) // groups, len(d_in) // groups
        blocks = [(d_out[None, g * each_out : (g + 1) * each_out] / d_in[g * each_in : (g + 1) * each_in, None]) for g in range(groups)]
    matrix = torch.cat(blocks)
    if len(shape) == 2 and shape[1] != matrix.shape[1]:
        assert groups == 1 and shape[1] % matrix.shape[1] == 0
        return matrix.repeat_interleave(shape[1] // matrix.shape[1], dim=1)
    kernel = shape[2:]
    assert shape[:2] == list(matrix.shape), (w["name"], shape, matrix.shape)
    return matrix.reshape(list(matrix.shape) + [1] * len(kernel)).expand(shape).clone()


def rescaled(model, scales, names=None):
    """A copy of the model with its parameters multiplied."""
    twin = copy.deepcopy(model)
    params = dict(twin.named_parameters())
    with torch.no_grad():
        for name, scale in scales.items():
            params[name].mul_(scale.to(params[name].dtype))
    return twin


def outputs(model, inputs, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        return flat(model(*[x.clone() for x in inputs]))


def flat(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        return [t for v in value.values() for t in flat(v)]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in flat(v)]
    return []


def deviation(a, b):
    """Largest difference over the largest magnitude, over all outputs."""
    assert len(a) == len(b) and a
    worst = 0.0
    for x, y in zip(a, b):
        scale = x.abs().max().item()
        worst = max(worst, (x - y).abs().max().item() / (scale if scale > 0 else 1.0))
        assert not math.isnan(worst)
    return worst


def awaken(model, seed=0):
    """Gives every parameter and statistic a value that matters: initial zeros and ones hide mistakes."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            for name, p in module._parameters.items():
                if p is not None and p.dim() == 1:
                    p.copy_(0.6 + torch.rand(p.shape, generator=g, dtype=torch.float64) if name == "weight" else 0.3 * torch.randn(p.shape, generator=g, dtype=torch.float64))
            if getattr(module, "running_var", None) is not None:
                module.running_var.copy_(0.5 + torch.rand(module.running_var.shape, generator=g, dtype=torch.float64))
                module.running_mean.copy_(0.2 * torch.randn(module.running_mean.shape, generator=g, dtype=torch.float64))
    return model


def check(case, model, network, inputs, seeds=(1, 2), tolerance=1e-9, modes=(False, True)):
    """Asserts that random factors for every free channel leave the function as it is, in evaluation and in training."""
    model = awaken(model.double())
    params = dict(model.named_parameters())
    oracle = Oracle(network.to_dict(params))
    for seed in seeds:
        scales = oracle.scales(oracle.random_factors(seed))
        for training in modes:
            model.train(training)
            before = copy.deepcopy(model)
            twin = rescaled(model, scales)
            a, b = outputs(before, inputs, seed), outputs(twin, inputs, seed)
            case.assertLess(deviation(a, b), tolerance, f"training={training}, seed {seed}")
    return oracle
