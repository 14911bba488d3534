"""EquiNorm: balances a model's channels during training, in place, together with the optimizer's state."""

import ctypes as ct
import json
import math
import operator
import threading
from dataclasses import dataclass
from typing import Optional

import torch
from torch import nn

from . import _library as native
from ._errors import BusyError, InvalidArgumentError, InvalidNetworkError, UnknownTensorError
from ._graph import describe, unwrap
from ._network import BIAS, Network, NetworkBuilder
from ._optimizers import KINDS, moving_state
from ._optimizers import state_kinds as kinds_of_state
from ._session import Bound, Places, Session, bumper, check_tensor, stream_of


@dataclass(frozen=True)
class StepReport:
    """What the last step did."""

    applied: bool
    objective_before: float
    residual: float  # max |log(norm in / norm out)| before the step's last update of single channels
    frozen_channels: int  # channels without incoming or outgoing weights: factor 1
    overflowed: int  # elements that were finite and are infinite now
    underflowed: int  # elements that were not zero and are zero now


@dataclass(frozen=True)
class SolveResult:
    """What a solve found, and that it was applied."""

    state: str  # "converged", "sweep limit" or "stalled"; in each case what was applied keeps the function
    sweeps: float
    objective_before: float
    objective: float
    residual: float
    gap_bound: Optional[float]  # certified bound on F / F* - 1; None where no bound can be had
    frozen_channels: int
    overflowed: int
    underflowed: int

    @property
    def converged(self) -> bool:
        return self.state == "converged"


@dataclass(frozen=True)
class Companion:
    """Tensors by parameter name that move with the parameters: "copy" (s), "first" (1/s), "second" (1/s^2)."""

    tensors: dict
    kind: str = "copy"


class EquiNorm:
    """Balances a network, one sweep a step. Two lines:

        enorm = EquiNorm(model, optimizer)
        ... optimizer.step(); enorm.step()

    p: exponent of the norm. c: penalty by depth, as in the paper (1: none). network: a description instead of following the model
    (equinorm.Network, or the JSON form as dict or text). momentum: "rescale" moves SGD's buffer as if it had been accumulated by the rescaled
    network (1/s), "keep" keeps its velocity (s). gradients: whether `.grad` moves, too. companions: further copies (models, dicts name ->
    tensor, Companion). sweeps: sweeps a step. every: only every n-th call does something. count_biases: whether biases count in the norm.
    threads: of the CPU, 0 for all. state_kinds: what is not known of an optimizer's state, name -> kind. example: inputs for `describe`.
    coarse_correction: whether whole groups are corrected in a step, too. library: path of libequinorm.

    Make a new one when the model's structure changes, or which parameters are trained.
    """

    def __init__(
        self, model, optimizer=None, p=2, c=1.0, *, network=None, momentum="rescale", gradients=False, companions=None, sweeps=1, every=1,
        count_biases=False, threads=0, state_kinds=None, example=None, coarse_correction=True, library=None,
    ):
        if not (isinstance(every, int) and every >= 1 and isinstance(sweeps, int) and sweeps >= 1):
            raise InvalidArgumentError(f"sweeps and every are whole numbers from 1 on, not {sweeps!r} and {every!r}")
        if not (p > 0 and math.isfinite(p) and c > 0 and math.isfinite(c)):
            raise InvalidArgumentError(f"p and c are positive and finite, not {p!r} and {c!r}")
        self._model = unwrap(model)
        self._optimizer = optimizer
        self._kinds = kinds_of_state(optimizer, momentum, state_kinds)
        self._settings = (float(p), float(c), sweeps, bool(count_biases), threads, bool(coarse_correction))
        self._every, self._calls = every, 0
        self._gradients = gradients
        self._library = library if isinstance(library, native.Library) else native.load(library)
        self.network = _network(network, self._model, example)
        _check_names(self._model, self.network.names)
        self._places = Places(self._model, self.network.names)
        self._companions = _companions(companions, set(self.network.names))
        self._lock = threading.Lock()
        self._session = None
        self._numbers = {}
        self._shapes = {}
        self._closed = False
        with self._lock:
            self._plan(self._places.read())

    # What there is

    @property
    def groups(self):
        """All channel groups, in network order: name, channels, sources, sinks, and why they are pinned, if they are."""
        return self.network.groups

    @property
    def pinned(self):
        """The groups that are left alone, with their reasons."""
        return self.network.pinned

    @property
    def notes(self):
        """Remarks on how the model was followed."""
        return self.network.notes

    def __repr__(self):
        p, c, sweeps, biases, _, _ = self._settings
        free = [g for g in self.groups if not g.reasons]
        state = ", closed" if self._closed else ""
        return (
            f"EquiNorm({type(self._model).__name__}, p={p:g}, c={c:g}, sweeps={sweeps}, every={self._every}, count_biases={biases}: "
            f"{len(self.network.names)} parameters, {len(free)} free groups of {sum(g.channels for g in free)} channels, "
            f"{len(self.pinned)} pinned groups, on {self._device}{state})"
        )

    # What it does

    def step(self) -> bool:
        """One step over everything that is bound. Returns whether this was the n-th call of `every`."""
        self._calls += 1
        if self._every > 1 and self._calls % self._every:
            return False
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is in a step or a solve of this EquiNorm")
        try:
            self._refresh()
            status = self._native_step(self._session.handle, self._stream(), None)
            if status:
                self._library.check(status)
            self._bump()
        finally:
            self._lock.release()
        return True

    def solve(self, tolerance=1e-8, max_sweeps=1000, warm=False) -> SolveResult:
        """Finds the optimum within a certified relative gap and applies it to everything that is bound."""
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is in a step or a solve of this EquiNorm")
        try:
            self._refresh()
            stream = self._stream()
            result = native.SolveResult(size=ct.sizeof(native.SolveResult))
            lib, session = self._library, self._session.handle
            lib.check(lib.en_session_solve(session, stream, float(tolerance), int(max_sweeps), int(warm), ct.byref(result)))
            report = native.StepReport(size=ct.sizeof(native.StepReport))
            lib.check(lib.en_session_apply(session, stream, 0, ct.byref(report)))
            self._bump()
        finally:
            self._lock.release()
        return SolveResult(
            native.SOLVE_STATES[result.state], result.sweeps, result.objective_before, result.objective, result.residual,
            None if math.isnan(result.gap_bound) else result.gap_bound, result.frozen_channels, report.overflowed, report.underflowed,
        )

    def report(self) -> StepReport:
        """What the last step did; on a GPU it waits for it."""
        self._open()
        report = native.StepReport(size=ct.sizeof(native.StepReport))
        self._library.check(self._library.en_session_report(self._session.handle, ct.byref(report)))
        return StepReport(
            bool(report.applied), report.objective_before, report.residual, report.frozen_channels, report.overflowed, report.underflowed
        )

    def log_factors(self, name, axis="output"):
        """Logarithms of the factors that the last step or solve found, for the output or input channels of a parameter."""
        self._open()
        use = next((u for u in self.network.uses if u.name == name), None)
        if use is None or axis not in ("output", "input") or (axis == "input" and use.kind == BIAS):
            raise UnknownTensorError(f"the network has no {axis} axis of {name!r}")
        count = len(use.output if axis == "output" else use.input)
        factors = torch.empty(count, dtype=torch.float64, device="cpu")
        pointer = ct.cast(factors.data_ptr(), ct.POINTER(ct.c_double))
        lib = self._library
        lib.check(lib.en_session_log_factors(self._session.handle, name.encode("utf-8"), 0 if axis == "output" else 1, pointer, count))
        return factors

    def prepare(self) -> None:
        """Does what a step must not do while a CUDA graph is captured. Before it, the optimizer must have its state."""
        with self._lock:
            self._refresh()
            self._library.check(self._library.en_session_prepare(self._session.handle, self._stream()))

    def close(self) -> None:
        """Frees what the native library holds. The model stays as it is."""
        self._closed = True
        if self._session is not None:
            self._session.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # How it is bound

    def _open(self):
        if self._closed:
            raise InvalidArgumentError("this EquiNorm is closed")

    def _refresh(self):
        """Makes sure that what is bound is what the model, the optimizer and the companions hold now."""
        if self._closed:
            self._open()
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
        names = self.network.names
        shared = {}
        for name, tensor in zip(names, params):
            if shared.setdefault(id(tensor), name) != name:
                raise InvalidNetworkError(f"parameters {shared[id(tensor)]} and {name} are one now: make a new EquiNorm")
            check_tensor(tensor, f"parameter {name}", device, self._shapes.get(name, tensor.shape))
        self._shapes = {name: tuple(tensor.shape) for name, tensor in zip(names, params)}
        layout = (device, [(t.dtype, t.stride()) for t in params])
        if self._session is None or layout != self._layout:
            session = Session(self._library, self.network.to_json(dict(zip(names, params))), lambda options: self._configure(options, device))
            if self._session is not None:
                self._session.close()
            self._session, self._layout, self._device = session, layout, device
            self._native_step = self._library.en_session_step
            self._moving, self._grads = set(), None
        self._params = Bound([], True)  # until all are bound: a failure must not leave half of them taken for bound
        self._names_now = dict(zip(names, params))
        for name, tensor in zip(names, params):
            self._session.bind(name, tensor)
        self._bind_companions()
        touched = self.network.touched
        written = [t for n, t in self._names_now.items() if n in touched] + self._copies
        self._bump = bumper(written)
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
            check_tensor(tensor, label, self._device, self._shapes[name])
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
                check_tensor(grad, f"gradient of parameter {name}", self._device, self._shapes[name])
        had = self._grads[0] if self._grads is not None else [None] * len(grads)
        self._grads = None
        for name, grad, old in zip(self._names_now, grads, had):
            if grad is not None or old is not None:
                self._session.bind(name, grad, native.FIRST_MOMENT, number)
        self._grads = (grads, Bound([g for g in grads if g is not None], False))
        self._stream_seen = None

    def _stream(self):
        stream = stream_of(self._device)
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


def _network(network, model, example) -> Network:
    if network is None:
        return describe(model, example)
    if isinstance(network, NetworkBuilder):
        return network.build()
    if isinstance(network, Network):
        return network
    if isinstance(network, str):
        network = json.loads(network)
    return Network.from_dict(network)


def _check_names(model, names):
    known = {name for name, _ in model.named_parameters()}
    for name in names:
        if name not in known:
            raise UnknownTensorError(f"the network names {name!r}, which is no parameter of {type(model).__name__}")


def _companions(companions, names):
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
