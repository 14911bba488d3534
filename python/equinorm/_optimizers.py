"""How the state of torch's optimizers moves with a parameter that is multiplied by s.

First moments (gradients, momentum, exp_avg) take 1/s, second moments (exp_avg_sq, a square average) 1/s^2, copies of the parameter s.
RMSprop's momentum is of g / sqrt(v): it stays. State that is not listed here is an error, never a guess.
"""

import torch

from ._errors import UnknownStateError
from ._library import COPY, FIRST_MOMENT, SECOND_MOMENT

KINDS = {"copy": COPY, "first": FIRST_MOMENT, "second": SECOND_MOMENT, "unchanged": None}

_ADAM = {"step": "unchanged", "exp_avg": "first", "exp_avg_sq": "second", "max_exp_avg_sq": "second"}
_TABLE = {
    "SGD": {"momentum_buffer": "first"},
    "Adam": _ADAM,
    "AdamW": _ADAM,
    "NAdam": {**_ADAM, "mu_product": "unchanged"},
    "RAdam": _ADAM,
    "SparseAdam": _ADAM,
    "Adamax": {"step": "unchanged", "exp_avg": "first", "exp_inf": "first"},
    "RMSprop": {"step": "unchanged", "square_avg": "second", "momentum_buffer": "unchanged", "grad_avg": "first"},
    "Adagrad": {"step": "unchanged", "sum": "second"},
    "ASGD": {"step": "unchanged", "eta": "unchanged", "mu": "unchanged", "ax": "copy"},
    "Rprop": {"step": "unchanged", "prev": "first", "step_size": "copy"},
}
_REFUSED = {
    "LBFGS": "its history is of all parameters at once",
    "Adadelta": "its acc_delta would have to take s^2, which is none of the kinds",
    "Adafactor": "its second moment is stored by rows and columns",
}


def state_kinds(optimizer, momentum, named) -> dict:
    """State name -> kind for this optimizer: what is known of its class, then what the user says."""
    kinds = {}
    if optimizer is not None:
        for base in type(optimizer).__mro__:
            if base.__module__.partition(".")[0] == "torch" and base.__name__ in _TABLE:
                kinds = dict(_TABLE[base.__name__])
                break
            if base.__module__.partition(".")[0] == "torch" and base.__name__ in _REFUSED and not named:
                raise UnknownStateError(f"{base.__name__} cannot be rescaled with the parameters: {_REFUSED[base.__name__]}")
    if momentum not in ("rescale", "keep"):
        raise ValueError(f'momentum is "rescale" or "keep", not {momentum!r}')
    if momentum == "keep":
        if not isinstance(optimizer, torch.optim.SGD):
            raise ValueError('momentum="keep" is for torch.optim.SGD')
        kinds["momentum_buffer"] = "copy"
    for name, kind in (named or {}).items():
        if kind not in KINDS:
            raise ValueError(f"state {name!r}: the kind is one of {', '.join(KINDS)}, not {kind!r}")
        kinds[name] = kind
    return kinds


def moving_state(optimizer, kinds, holder, parameter_name):
    """(state name, kind, tensor) of what moves with one parameter. Raises UnknownStateError for tensors that nobody has named."""
    state = optimizer.state.get(holder)
    if not state:
        return
    for name, value in state.items():
        kind = kinds.get(name)
        if kind is None:
            if _holds_tensors(value, holder):
                raise UnknownStateError(
                    f"{type(optimizer).__name__} keeps {name!r} for parameter {parameter_name}, and nothing is known of how it moves with the "
                    f'parameter. Name it: state_kinds={{"{name}": "first"}} (1/s: like a gradient), "second" (1/s^2: like its square), '
                    '"copy" (s: like the parameter) or "unchanged"'
                )
        elif KINDS[kind] is not None and value is not None:
            if not isinstance(value, torch.Tensor) or value.shape != holder.shape:
                raise UnknownStateError(f"{type(optimizer).__name__}: state {name!r} of parameter {parameter_name} is not a tensor of its shape")
            yield name, KINDS[kind], value


def _holds_tensors(value, holder) -> bool:
    if isinstance(value, torch.Tensor):
        return value.numel() > 1 or value.shape == holder.shape
    if isinstance(value, (list, tuple)):
        return any(_holds_tensors(v, holder) for v in value)
    if isinstance(value, dict):
        return any(_holds_tensors(v, holder) for v in value.values())
    return False
