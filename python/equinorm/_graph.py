"""Finds the channel groups of a model: interprets what `_trace` recorded by the rules, and keeps account of what must not be rescaled.

Recorded in training and in evaluation: where the two differ, the network holds what both need.
"""

import torch
from torch import nn

from . import _rules, _weights
from ._errors import TraceError
from ._network import BIAS, DIAGONAL, WEIGHT, Network, NetworkBuilder, Use, type_name
from ._rules import Unexpected
from ._shapes import example_sizes
from ._trace import has_hooks, record
from ._values import Activation, Fixed, Param, Size

_WRAPPERS = (nn.DataParallel, nn.parallel.DistributedDataParallel)


def unwrap(model: nn.Module) -> nn.Module:
    """The model within DataParallel, DistributedDataParallel, torch.compile."""
    while True:
        if isinstance(model, _WRAPPERS):
            model = model.module
        elif "_orig_mod" in model._modules:
            model = model._modules["_orig_mod"]
        else:
            return model


def describe(model: nn.Module, example=None) -> Network:
    """The network of a model: which channels can be rescaled, and why the others cannot. Needs no native library.

    `example`: a tuple of inputs (or one tensor). With it the extents of all activations are known, and views are followed that are ambiguous
    without (`x.view(-1, 400)`). Convolutions are taken to see batches: (N, C, ...).
    """
    model = unwrap(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise TraceError("a scripted module cannot be followed: pass the module it was made from, or describe the network with `network=`")
    i = _Interpreter(model)
    recordings = [record(model, i.is_leaf, training) for training in (False, True)]
    for recording in recordings[: 1 if _alike(*recordings) else 2]:
        i.run(recording, example)
    return i.finish()


def _alike(a, b):
    def text(recording):
        return [(n.op, str(n.target), str(n.args), str(n.kwargs)) for n in recording.graph.nodes]

    return not a.constants and not b.constants and a.opaque == b.opaque and text(a) == text(b)


class _Interpreter:
    def __init__(self, model):
        self.model = model
        self.builder = NetworkBuilder()
        self.label = self.name = ""
        self._names = {id(p): name for name, p in model.named_parameters()}
        self._params = dict(model.named_parameters())
        self._modules = dict(model.named_modules())
        self._uses = {}  # (parameter, what it reads) -> Use: the same use again (in training, in evaluation) writes the same channels
        self._inputs = {}
        self._foreign = {}  # id of a parameter -> who else reads it
        self._node_uses = []
        self._used_by = []

    # What the rules call

    def pin(self, values, reason):
        """Pins every activation within."""
        if isinstance(values, Activation):
            self.builder.pin(values.channels, reason)
        elif isinstance(values, dict):
            self.pin(list(values.values()), reason)
        elif isinstance(values, (list, tuple)):
            for value in values:
                self.pin(value, reason)

    def foreign(self, values):
        """Notes parameters that something reads which is not rescaled with them."""
        if isinstance(values, Param):
            self._foreign.setdefault(id(values.tensor), self.label)
        elif isinstance(values, nn.Module):
            for p in values.parameters():
                self._foreign.setdefault(id(p), self.label)
        elif isinstance(values, dict):
            self.foreign(list(values.values()))
        elif isinstance(values, (list, tuple)):
            for value in values:
                self.foreign(value)

    def own(self, module, name):
        """A parameter of a module; None where it has none. What is computed (weight_norm, parametrizations) is no parameter."""
        if module._parameters.get(name) is None:
            if getattr(module, name, None) is not None:
                raise Unexpected
            return None
        tensor = module._parameters[name]
        return Param(self._names[id(tensor)], tensor)

    def read(self, x, dim, count, positions=False):
        """The channels that a weight reads. Where they do not fit they are pinned, and others stand for them."""
        if isinstance(x, Activation):
            if len(x.dims) == 1 and x.dim == dim:
                each, rest = divmod(count, len(x.channels)) if x.channels else (0, 1)
                if rest == 0 and (each == 1 and x.positions in (1, None) or positions and x.positions in (each, None)):
                    return x.channels
            self.pin(x, f"{self.label} reads them along another dimension, or after a view that was not understood")
            reason = f"input of {self.name} that was not understood"
        else:
            reason = x.reason
        return self.input_axis(count, reason)

    def input_axis(self, count, reason):
        """Pinned channels that stand for what a weight reads."""
        key = (self.name, count, reason)
        if key not in self._inputs:
            self._inputs[key] = self.builder.axis(f"input of {self.name}", count, reason)
        return self._inputs[key]

    def weight(self, param, outputs, read, order="output-input", groups=1):
        return self._write(Use(param.name, WEIGHT, (), read, order, groups), param, outputs)

    def diagonal(self, param, read):
        return self._write(Use(param.name, DIAGONAL, (), read), param, len(read))

    def bias(self, param, out):
        self._write(Use(param.name, BIAS, out), param, len(out))

    def _write(self, use, param, outputs):
        key = (use.name, use.kind, use.input if use.kind != BIAS else use.output, use.order, use.groups)
        fresh = key not in self._uses
        if fresh:
            use.output = use.output or self.builder.axis(self.name or use.name, outputs)
            use.height = 0
            self._uses[key] = use
            self._restrict(use, param.tensor)
        use = self._uses[key]
        if use.kind != BIAS:
            self._node_uses.append(use)
        else:
            self._used_by.append(use)
        return use.output

    def _restrict(self, use, tensor):
        reason = None
        if not tensor.requires_grad:
            reason = f"parameter {use.name} is frozen (requires_grad is False)"
        elif type(tensor) not in (nn.Parameter, torch.Tensor):
            reason = f"parameter {use.name} is a {type(tensor).__name__}"
        elif type_name(tensor) is None:
            reason = f"parameter {use.name} is of type {tensor.dtype}"
        if reason:
            self.builder.pin(use.output, reason)
            self.builder.pin(use.input, reason)

    # Running a recording

    def is_leaf(self, module):
        return type(module) in _weights.MODULES or hasattr(module, "parametrizations") or isinstance(module, torch.jit.ScriptModule)

    def run(self, recording, example):
        self.builder.notes += [n for n in recording.notes if n not in self.builder.notes]
        sizes = example_sizes(self.model, recording, example) if example is not None else {}
        values, uses_of = {}, {}
        for node in recording.graph.nodes:
            self._node_uses, self._used_by = [], []
            self._name(node)
            value = self._value(node, recording, values)
            values[node] = _with_sizes(self, value, sizes.get(node))
            uses_of[node] = (self._node_uses, self._used_by)
        for path, nodes in recording.watched:
            self.label = f"hooks of module {path}"
            self.pin([values[node] for node in nodes], self.label)
        _heights(recording.graph, values, uses_of)

    def _name(self, node):
        path = node.meta.get("path", "")
        if node.op == "call_module":
            self.name, self.label = node.target, f"{type(self._modules[node.target]).__name__} {node.target}"
        else:
            called = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
            self.name, self.label = f"{path}.{node.name}" if path else node.name, f"function {called} in {path or 'the model'}"

    def _value(self, node, recording, values):
        args, kwargs = _load(node.args, values), _load(node.kwargs, values)
        if node.op == "placeholder":
            return Fixed(f"network input {node.target}")
        if node.op == "output":
            self.pin((args, kwargs), "network output")
            self.foreign((args, kwargs))
            return None
        if node.op == "get_attr":
            return self._attribute(node.target, recording)
        if node.op == "call_module":
            return self._call_module(node.target, recording, args, kwargs)
        return self._call(node, args, kwargs)

    def _attribute(self, target, recording):
        value = recording.constants.get(target)
        if value is None:
            value = self.model
            for part in target.split("."):
                value = getattr(value, part)
        if id(value) in self._names:
            return Param(self._names[id(value)], value)
        return Fixed(f"tensor {target}")

    def _call_module(self, path, recording, args, kwargs):
        module = self._modules[path]
        if path in recording.opaque:
            return self._unknown(f"module {path}, which cannot be followed ({recording.opaque[path]})", args, kwargs, module)
        if has_hooks(module):
            names = sorted({type(h).__name__ if not hasattr(h, "__name__") else h.__name__ for h in _hooks_of(module)})
            return self._unknown(f"module {path} with hooks ({', '.join(names)})", args, kwargs, module)
        if hasattr(module, "parametrizations"):
            return self._unknown(f"module {path} with parametrizations", args, kwargs, module)
        rule = _weights.MODULES.get(type(module))
        if rule is not None and isinstance(args[0] if args else None, (Activation, Fixed)):
            try:
                return rule(self, module, *args, **kwargs)
            except (Unexpected, TypeError):
                pass
        return self._unknown(f"{type(module).__name__} {path}", args, kwargs, module)

    def _call(self, node, args, kwargs):
        known = _weights.FUNCTIONS.get(node.target) or _rules.FUNCTIONS.get(node.target)
        if node.op == "call_method":
            known = _rules.method_rule(node.target)
        elif getattr(node.target, "__name__", "") == "stochastic_depth":
            known = _rules.same
        if not _holds((args, kwargs), (Activation, Fixed, Param, Size)):
            return self._constant(node, args, kwargs)
        if known is not None:
            try:
                return known(self, *args, **kwargs)
            except (Unexpected, TypeError, IndexError, KeyError, AttributeError):
                pass
        if not _holds((args, kwargs), (Activation, Fixed, Param)):
            return Size()  # arithmetic on extents
        return self._unknown(self.label, args, kwargs)

    def _constant(self, node, args, kwargs):
        if node.op == "call_function" and getattr(node.target, "__module__", None) in ("_operator", "builtins", "math"):
            try:
                return node.target(*args, **kwargs)
            except Exception:  # the model's own mistake, or something that cannot be known here
                pass
        return Fixed(self.label)

    def _unknown(self, reason, args, kwargs, module=None):
        self.label = reason
        self.pin((args, kwargs), reason)
        self.foreign((args, kwargs))
        self.foreign(module)
        return Fixed(reason)

    # The end

    def finish(self) -> Network:
        shared = _overlapping(self.model)
        for use in self._uses.values():
            tensor = self._params[use.name]
            reason = shared.get(id(tensor))
            if id(tensor) in self._foreign:
                reason = f"parameter {use.name} is also read by {self._foreign[id(tensor)]}"
            if reason:
                self.builder.pin(use.output, reason)
                self.builder.pin(use.input, reason)
            self.builder._use(use)
        return self.builder.build()


def _with_sizes(i, value, sizes):
    """Extents that an example showed, where they agree with what the rules say."""
    if isinstance(value, tuple) and isinstance(sizes, list) and len(value) == len(sizes):
        return tuple(_with_sizes(i, v, s) for v, s in zip(value, sizes))
    if not isinstance(sizes, tuple):
        return value
    if isinstance(value, Fixed):
        return Fixed(value.reason, sizes)
    if not isinstance(value, Activation):
        return value
    each = value.split or (len(value.channels),)
    positions = value.positions
    for dim, extent in zip(value.dims, each):
        known = sizes[dim] if -dim <= len(sizes) else None
        if positions is None and known and known % extent == 0:
            positions = known // extent
        if known != extent * (positions or 1):
            i.pin(value, f"{i.label}: the example shows other dimensions")
            return Fixed(i.label, sizes)
    return Activation(value.channels, value.dims, sizes, positions, value.split)


def _heights(graph, values, uses_of):
    """The number of weights on the longest path behind each, over what holds activations."""
    height = {}
    for node in reversed(list(graph.nodes)):
        after = height.get(node, 0)
        weights, biases = uses_of[node]
        for use in weights + biases:
            use.height = max(use.height, after)
        through = after + (1 if weights else 0)
        if node.op == "output" or _holds(values[node], (Activation, Fixed)):
            for source in node.all_input_nodes:
                height[source] = max(height.get(source, 0), through)


def _overlapping(model):
    """Parameters that share memory with another tensor of the model: id -> reason."""
    spans = []
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.layout == torch.strided and tensor.numel() and tensor.device.type != "meta":
            last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride()))
            start = tensor.data_ptr()
            spans.append((str(tensor.device), start, start + (last + 1) * tensor.element_size(), name, tensor))
    spans.sort(key=lambda s: s[:3])
    reasons = {}
    for a, b in zip(spans, spans[1:]):
        if a[0] == b[0] and b[1] < a[2] and a[1]:
            reasons[id(a[4])] = f"parameter {a[3]} shares memory with {b[3]}"
            reasons[id(b[4])] = f"parameter {b[3]} shares memory with {a[3]}"
    return reasons


def _hooks_of(module):
    return [h for name in ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks") for h in getattr(module, name, {}).values()]


def _load(value, values):
    if isinstance(value, torch.fx.Node):
        return values[value]
    if isinstance(value, (list, tuple)):
        return type(value)([_load(v, values) for v in value]) if not hasattr(value, "_fields") else tuple(_load(v, values) for v in value)
    if isinstance(value, dict):
        return {k: _load(v, values) for k, v in value.items()}
    if isinstance(value, slice):
        return slice(*(_load(v, values) for v in (value.start, value.stop, value.step)))
    return value


def _holds(value, types):
    if isinstance(value, dict):
        return any(_holds(v, types) for v in value.values())
    if isinstance(value, (list, tuple)):
        return any(_holds(v, types) for v in value)
    if isinstance(value, slice):
        return any(_holds(v, types) for v in (value.start, value.stop, value.step))
    return isinstance(value, types)
