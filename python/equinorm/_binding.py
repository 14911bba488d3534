"""What is bound to a native session: a model's parameters, and the optimizer state, gradients and copies that move with them.

`refresh` compares what is bound with what the model, the optimizer and the companions hold now, and binds again what has changed. A failure leaves
nothing taken for bound that is not, and nothing written.
"""

import operator
from dataclasses import dataclass

import torch
from torch import nn

from . import _library as native
from ._errors import InvalidArgumentError, InvalidNetworkError, UnknownTensorError
from ._graph import unwrap
from ._optimizers import KINDS, moving_state
from ._session import Bound, Places, Session, bumper, check_tensor, stream_of


@dataclass(frozen=True)
class Companion:
    """Tensors by parameter name that move with the parameters: "copy" (s), "first" (1/s), "second" (1/s^2)."""

    tensors: dict
    kind: str = "copy"


class Binding:
    """`handle`: the session; `device`; `bump`: advances the version counters of what a step writes."""

    def __init__(self, library, model, network, settings, optimizer, kinds, companions, gradients):
        self._library, self._network, self._settings = library, network, settings
        self._optimizer, self._kinds, self._gradients = optimizer, kinds, gradients
        self._places = Places(model, network.names)
        self._companions = find_companions(companions, set(network.names))
        self._session = None
        self._numbers, self._shapes = {}, {}
        self._plan(self._places.read())

    def close(self):
        self._session.close()

    def refresh(self):
        """Makes sure that what is bound is what the model, the optimizer and the companions hold now."""
        params = self._places.read()
        if not self._params.holds(params):
            self._plan(params)
        elif not self._state_holds():
            self._bind_companions()
        if self._gradients:
            self._bind_gradients()

    def _plan(self, params):
        """A session for the parameters as they are: types, shapes, strides, device. Only addresses may change within one."""
        device = params[0].device if params else torch.device("cpu")
        names = self._network.names
        shared = {}
        for name, tensor in zip(names, params):
            if shared.setdefault(id(tensor), name) != name:
                raise InvalidNetworkError(f"parameters {shared[id(tensor)]} and {name} are one now: make a new EquiNorm")
            check_tensor(tensor, f"parameter {name}", device, self._shapes.get(name, tensor.shape))
        self._shapes = {name: tuple(tensor.shape) for name, tensor in zip(names, params)}
        layout = (device, [(t.dtype, t.stride()) for t in params])
        if self._session is None or layout != self._layout:
            session = Session(self._library, self._network.to_json(dict(zip(names, params))), lambda options: self._configure(options, device))
            if self._session is not None:
                self._session.close()
            self._session, self._layout, self.device = session, layout, device
            self.handle = session.handle
            self._moving, self._grads = set(), None
        self._params = Bound([], True)  # until all are bound: a failure must not leave half of them taken for bound
        self._names_now = dict(zip(names, params))
        for name, tensor in zip(names, params):
            self._session.bind(name, tensor)
        self._bind_companions()
        touched = self._network.touched
        written = [t for n, t in self._names_now.items() if n in touched] + self._copies
        self.bump = bumper(written)
        self._params = Bound(params, True)
        self._stream_seen = None

    def _configure(self, options, device):
        p, c, sweeps, biases, threads, coarse = self._settings
        options.p, options.c, options.sweeps_per_step, options.threads = p, c, sweeps, threads
        options.count_biases, options.coarse_correction = int(biases), int(coarse)
        options.penalty = native.PENALTY_DEPTH if c != 1 else native.PENALTY_UNIFORM
        options.every = 1  # counted here: a call that is not the n-th then costs nothing
        options.device_kind = native.CUDA if device.type == "cuda" else native.CPU
        options.device_index = device.index or 0

    def _bind_companions(self):
        self._state = None
        wanted, copies = self._moving_tensors()
        seen = {t.data_ptr(): f"parameter {n}" for n, t in self._names_now.items()}
        for (name, _, _), (tensor, label) in wanted.items():
            check_tensor(tensor, label, self.device, self._shapes[name])
            other = seen.setdefault(tensor.data_ptr(), label)
            if other != label and tensor.numel():
                raise InvalidArgumentError(f"{label} and {other} share memory, which would be rescaled twice")
        for (name, kind, number), (tensor, label) in wanted.items():
            self._session.bind(name, tensor, kind, number)
        for name, kind, number in self._moving - wanted.keys():
            self._session.bind(name, None, kind, number)
        self._moving = set(wanted)
        self._copies = copies
        self._remember_state([tensor for tensor, _ in wanted.values()])

    def _moving_tensors(self):
        """(name, kind, number) -> (tensor, label) of all that moves with the parameters, and the copies among it."""
        wanted, copies = {}, []
        companions = [(tensors(), kind) for tensors, kind in self._companions]
        for name, param in self._names_now.items():
            holders = [param]
            for source, (tensors, kind) in enumerate(companions):
                tensor = tensors.get(name)
                if tensor is not None:
                    wanted[(name, kind, self._number(kind, ("companion", source)))] = (tensor, f"companion {source} of parameter {name}")
                    if kind == native.COPY:
                        # The optimizer may work on this copy (float32 masters).
                        copies.append(tensor)
                        holders.append(tensor)
            if self._optimizer is not None:
                for k, holder in enumerate(holders):
                    for key, kind, tensor in moving_state(self._optimizer, self._kinds, holder, name):
                        wanted[(name, kind, self._number(kind, (key, k)))] = (tensor, f"optimizer state {key!r} of parameter {name}")
        return wanted, copies

    def _number(self, kind, what):
        """The slot of what moves: the same for the life of this object."""
        found = self._numbers.get((kind, what))
        if found is None:
            found = self._numbers[(kind, what)] = sum(1 for k, _ in self._numbers if k == kind)
        return found

    def _remember_state(self, tensors):
        state = self._optimizer.state if self._optimizer is not None else {}
        dicts = list(state.values())
        names = [k for k, kind in self._kinds.items() if KINDS[kind] is not None]
        # For each state name the dicts that have it, and what they had: looked up again at each step.
        lookups = []
        for name in names:
            having = [d for d in dicts if name in d]
            if having:
                lookups.append((operator.itemgetter(name), having, [d[name] for d in having]))
        self._state = (dicts, list(map(len, dicts)), lookups, Bound(tensors, False), [tensors() for tensors, _ in self._companions])
        self._stream_seen = None

    def _state_holds(self) -> bool:
        if self._state is None:
            return False
        dicts, lengths, lookups, bound, companions = self._state
        if self._optimizer is not None:
            now = list(self._optimizer.state.values())
            if len(now) != len(dicts) or not all(map(operator.is_, now, dicts)) or list(map(len, now)) != lengths:
                return False
            for item, having, had in lookups:
                if not all(map(operator.is_, map(item, having), had)):
                    return False
        for (tensors, _), had in zip(self._companions, companions):
            now = tensors()
            if len(now) != len(had) or any(now.get(k) is not v for k, v in had.items()):
                return False
        return bound.holds(bound.tensors)

    def _bind_gradients(self):
        grads = list(map(operator.attrgetter("grad"), self._names_now.values()))
        if self._grads is not None and all(map(operator.is_, grads, self._grads[0])):
            present = self._grads[1]
            if present.holds(present.tensors):
                return
        number = self._number(native.FIRST_MOMENT, "gradient")
        for name, grad in zip(self._names_now, grads):
            if grad is not None:
                check_tensor(grad, f"gradient of parameter {name}", self.device, self._shapes[name])
        had = self._grads[0] if self._grads is not None else [None] * len(grads)
        self._grads = None
        for name, grad, old in zip(self._names_now, grads, had):
            if grad is not None or old is not None:
                self._session.bind(name, grad, native.FIRST_MOMENT, number)
        self._grads = (grads, Bound([g for g in grads if g is not None], False))
        self._stream_seen = None

    def stream(self):
        stream = stream_of(self.device)
        if stream is None:
            return None
        if stream.cuda_stream != self._stream_seen:
            # Memory that was made on another stream must not be handed out again before this one is done with it.
            for tensors in (self._params.tensors, self._state[3].tensors, self._grads[0] if self._grads else []):
                for tensor in tensors:
                    if tensor is not None:
                        tensor.record_stream(stream)
            self._stream_seen = stream.cuda_stream
        return stream.cuda_stream


def find_companions(companions, names):
    """A list of (function that gives name -> tensor, kind)."""
    if companions is None:
        return []
    if isinstance(companions, (nn.Module, dict, Companion)):
        companions = [companions]
    result = []
    for companion in companions:
        kind = "copy"
        if isinstance(companion, Companion):
            companion, kind = companion.tensors, companion.kind
        if isinstance(companion, nn.Module):
            twin = unwrap(companion)
            if isinstance(twin, torch.optim.swa_utils.AveragedModel):
                twin = unwrap(twin.module)
            found = [n for n, _ in twin.named_parameters() if n in names]
            if not found:
                raise UnknownTensorError(f"companion {type(twin).__name__} has no parameter of the network")
            places = Places(twin, found)
            result.append(((lambda p=places: dict(zip(p.names, p.read()))), KINDS[kind]))
        else:
            unknown = set(companion) - names
            if unknown:
                raise UnknownTensorError(f"a companion is given for {sorted(unknown)[0]!r}, which is no parameter of the network")
            if KINDS.get(kind) is None:
                raise InvalidArgumentError(f'the kind of a companion is "copy", "first" or "second", not {kind!r}')
            result.append(((lambda t=companion: t), KINDS[kind]))
    return result
