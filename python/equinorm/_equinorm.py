"""EquiNorm: balances a model's channels during training, in place, together with the optimizer's state."""

import ctypes as ct
import json
import math
import threading
from dataclasses import dataclass
from typing import Optional

import torch

from . import _library as native
from ._binding import Binding
from ._errors import BusyError, InvalidArgumentError, UnknownTensorError
from ._graph import describe, unwrap
from ._network import BIAS, Network, NetworkBuilder
from ._optimizers import state_kinds as kinds_of_state


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
        self._settings = (float(p), float(c), sweeps, bool(count_biases), threads, bool(coarse_correction))
        self._every, self._calls = every, 0
        self._library = library if isinstance(library, native.Library) else native.load(library)
        self.network = _network(network, self._model, example)
        _check_names(self._model, self.network.names)
        kinds = kinds_of_state(optimizer, momentum, state_kinds)
        self._lock = threading.Lock()
        self._closed = False
        self._binding = Binding(self._library, self._model, self.network, self._settings, optimizer, kinds, companions, gradients)

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
            f"{len(self.pinned)} pinned groups, on {self._binding.device}{state})"
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
            binding = self._bound()
            status = self._library.en_session_step(binding.handle, binding.stream(), None)
            if status:
                self._library.check(status)
            binding.bump()
        finally:
            self._lock.release()
        return True

    def solve(self, tolerance=1e-8, max_sweeps=1000, warm=False) -> SolveResult:
        """Finds the optimum within a certified relative gap and applies it to everything that is bound."""
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is in a step or a solve of this EquiNorm")
        try:
            binding = self._bound()
            result = native.SolveResult(size=ct.sizeof(native.SolveResult))
            lib, session, stream = self._library, binding.handle, binding.stream()
            lib.check(lib.en_session_solve(session, stream, float(tolerance), int(max_sweeps), int(warm), ct.byref(result)))
            report = native.StepReport(size=ct.sizeof(native.StepReport))
            lib.check(lib.en_session_apply(session, stream, 0, ct.byref(report)))
            binding.bump()
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
        self._library.check(self._library.en_session_report(self._binding.handle, ct.byref(report)))
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
        lib.check(lib.en_session_log_factors(self._binding.handle, name.encode("utf-8"), 0 if axis == "output" else 1, pointer, count))
        return factors

    def prepare(self) -> None:
        """Does what a step must not do while a CUDA graph is captured. Before it, the optimizer must have its state."""
        with self._lock:
            binding = self._bound()
            self._library.check(self._library.en_session_prepare(binding.handle, binding.stream()))

    def close(self) -> None:
        """Frees what the native library holds. The model stays as it is."""
        if not self._lock.acquire(blocking=False):
            raise BusyError("another thread is in a step or a solve of this EquiNorm")
        try:
            self._closed = True
            self._binding.close()
        finally:
            self._lock.release()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _open(self):
        if self._closed:
            raise InvalidArgumentError("this EquiNorm is closed")

    def _bound(self):
        """The binding, with everything bound as it is now."""
        self._open()
        self._binding.refresh()
        return self._binding


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
