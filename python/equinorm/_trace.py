"""Records what a model's forward calls, with torch.fx: leaf modules, functions and methods, without running any of them.

A module whose forward cannot be recorded (control flow on values) is one opaque leaf: the rules pin what it reads and writes. Hooks are
not run while recording; which modules have some is looked up instead.
"""

import contextlib
import dis
import inspect
import sys
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Dict, List, Tuple

import torch
import torch.fx as fx
from torch import nn

from ._errors import TraceError

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass
class Recording:
    """A graph and what was met on the way."""

    graph: fx.Graph
    opaque: Dict[str, str] = field(default_factory=dict)  # path of a module -> why it could not be followed
    watched: List[Tuple[str, list]] = field(default_factory=list)  # path of a traced module with hooks, nodes it reads and writes
    constants: Dict[str, torch.Tensor] = field(default_factory=dict)
    notes: List[str] = field(default_factory=list)


class _Unpacks:
    def __iter__(self):
        # `a, b = x.chunk(2)` says how many it wants in the caller's code. fx itself finds the place only up to Python 3.10.
        frame = sys._getframe(1)
        for instruction in dis.get_instructions(frame.f_code):
            if instruction.offset == frame.f_lasti:
                if instruction.opname == "UNPACK_SEQUENCE":
                    return iter([self[i] for i in range(instruction.argval)])
                break
        return super().__iter__()


class _Attribute(_Unpacks, fx.proxy.Attribute):
    pass


class _Proxy(_Unpacks, fx.Proxy):
    """Stands for a tensor, also where the model asks `isinstance(x, Tensor)`: a wrong answer would record the wrong branch."""

    _is_param = False

    @property
    def __class__(self):
        return torch.Tensor

    def __getattr__(self, name):
        return _Attribute(self, name)


class _Tracer(fx.Tracer):
    def __init__(self, is_leaf, hooked):
        super().__init__()
        self._is_leaf, self._hooked = is_leaf, hooked
        self._path = [""]
        self.opaque, self.watched = {}, []

    def is_leaf_module(self, m, module_qualified_name):
        return self._is_leaf(m) or super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node):
        return _Proxy(node, self)

    def create_arg(self, a):
        return a.node if issubclass(type(a), fx.Proxy) else super().create_arg(a)

    def create_node(self, *args, **kwargs):
        node = super().create_node(*args, **kwargs)
        node.meta["path"] = self._path[-1]
        return node

    def call_module(self, m, forward, args, kwargs):
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path):
            return super().call_module(m, forward, args, kwargs)
        mark = len(self.graph.nodes)
        self._path.append(path)
        try:
            out = super().call_module(m, forward, args, kwargs)
        except Exception as error:  # whatever the model's own code raises when it meets what is not a tensor
            for node in reversed(list(self.graph.nodes)[mark:]):
                self.graph.erase_node(node)
            self.opaque[path] = f"{type(error).__name__}: {error}".split("\n")[0][:200]
            return self.create_proxy("call_module", path, args, kwargs)
        finally:
            self._path.pop()
        if m in self._hooked:
            self.watched.append((path, [p.node for p in _proxies((args, kwargs, out))]))
        return out


def has_hooks(module: nn.Module) -> bool:
    """Whether something of the user's runs when this module is called."""
    return any(getattr(module, name, None) for name in _HOOKS)


def record(model: nn.Module, is_leaf, training: bool) -> Recording:
    """Records `model` as it behaves in training or in evaluation. Raises TraceError where its own forward cannot be followed."""
    hooked = {m for m in model.modules() if has_hooks(m)}
    with _undisturbed(model, training):
        try:
            return _record(model, is_leaf, hooked, None)
        except TraceError as error:
            defaults = _plain_defaults(model)
            if defaults:
                with contextlib.suppress(TraceError):
                    recording = _record(model, is_leaf, hooked, defaults)
                    listed = ", ".join(f"{name}={value!r}" for name, value in defaults.items())
                    recording.notes.append(f"followed with {listed}: calls with other values compute something else")
                    return recording
            raise error


def _record(model, is_leaf, hooked, concrete) -> Recording:
    before = set(vars(model))
    tracer = _Tracer(is_leaf, hooked)
    try:
        graph = tracer.trace(model, concrete)
        constants = {k: v for k, v in vars(model).items() if k not in before}
    except Exception as error:
        reason = f"{type(error).__name__}: {error}".split("\n")[0]
        raise TraceError(
            f"the forward of {type(model).__name__} cannot be followed ({reason}). Pass the part of it that can be as the model (what goes "
            "into it and comes out of it keeps its scale), or describe the network yourself with `network=`"
        ) from error
    finally:
        # fx stores tensors that it meets on the model; they are not the model's.
        for name in set(vars(model)) - before:
            delattr(model, name)
    return Recording(graph, tracer.opaque, tracer.watched, constants)


def _plain_defaults(model):
    """Parameters of forward with a default that is no tensor: flags, which a recording cannot leave open."""
    parameters = inspect.signature(model.forward).parameters.values()
    return {
        p.name: p.default
        for p in parameters
        if p.default is not p.empty and (p.default is None or isinstance(p.default, (bool, int, float, str)))
    }


@contextlib.contextmanager
def _undisturbed(model: nn.Module, training: bool):
    """Sets the mode and takes hooks away; puts everything back as it was."""
    modules = list(model.modules())
    modes = [m.training for m in modules]
    hooks = [{name: vars(m)[name] for name in _HOOKS if name in vars(m)} for m in modules]
    try:
        for m in modules:
            m.training = training
            for name in _HOOKS:
                if name in vars(m):
                    vars(m)[name] = OrderedDict()
        yield
    finally:
        for m, mode, kept in zip(modules, modes, hooks):
            m.training = mode
            vars(m).update(kept)


def _proxies(value):
    if issubclass(type(value), fx.Proxy):
        return [value]
    if isinstance(value, dict):
        return [p for v in value.values() for p in _proxies(v)]
    if isinstance(value, (list, tuple)):
        return [p for v in value for p in _proxies(v)]
    return []
