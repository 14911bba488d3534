"""A native session over tensors of torch: binds them by address, notices when an address is no longer right, hands the stream over.

Before each call the addresses are compared with those that were bound. What was bound is kept alive (an empty view holds its memory), so an
equal address means the same memory. All checks are made before the native library writes anything.
"""

import collections
import ctypes as ct
import itertools
import operator
import weakref
from typing import Dict, List, Tuple

import torch

from . import _library as native
from ._errors import NotBoundError, WrongDeviceError, WrongShapeError, WrongTypeError

_T = torch.Tensor


class Slot:
    """One tensor of the session: a parameter (kind None) or what moves with it."""

    def __init__(self, name, kind, number):
        self.name, self.kind, self.number = name.encode("utf-8"), kind, number
        self.struct = native.Tensor(size=ct.sizeof(native.Tensor))
        self._layout = None

    def bind(self, library, session, tensor):
        if tensor is None:
            reference = None
        else:
            layout = (tensor.dtype, tensor.shape, tensor.stride())
            if layout != self._layout:
                self._describe(tensor)
                self._layout = layout
            self.struct.data = tensor.data_ptr()
            reference = ct.byref(self.struct)
        if self.kind is None:
            library.check(library.en_session_bind(session, self.name, reference))
        else:
            library.check(library.en_session_bind_companion(session, self.name, self.kind, self.number, reference))

    def _describe(self, tensor):
        dimensions = tensor.dim()
        extents = ct.c_int64 * max(dimensions, 1)
        self._shape = extents(*tensor.shape)
        self._strides = None if tensor.is_contiguous() else extents(*tensor.stride())
        self.struct.type = native.TYPES[str(tensor.dtype)]
        self.struct.device_kind = native.CUDA if tensor.is_cuda else native.CPU
        self.struct.device_index = tensor.device.index or 0
        self.struct.dimensions = dimensions
        self.struct.shape = ct.cast(self._shape, ct.POINTER(ct.c_int64))
        self.struct.strides = ct.cast(self._strides, ct.POINTER(ct.c_int64)) if self._strides is not None else None


class Bound:
    """Tensors as they were bound, and whether they still are.

    An anchor keeps the memory of each, so an equal address is the same memory; a conversion of type or memory format always moves it. What
    is left are views of the same memory (`p.data = p.data[:5]`): `layouts` compares strides and numbers of elements, too. Optimizers put
    new tensors into their state, which is seen before this is asked, so for state the addresses do.
    """

    def __init__(self, tensors, layouts):
        self.tensors = tensors
        self.anchors = list(map(_T.detach, tensors))
        self.addresses = list(map(_T.data_ptr, tensors))
        self.layouts = self._layouts(tensors) if layouts else None

    @staticmethod
    def _layouts(tensors):
        return list(map(_T.stride, tensors)), list(map(_T.numel, tensors))

    def holds(self, tensors) -> bool:
        return (
            (tensors is self.tensors or len(tensors) == len(self.tensors) and all(map(operator.is_, tensors, self.tensors)))
            and list(map(_T.data_ptr, tensors)) == self.addresses
            and (self.layouts is None or self._layouts(tensors) == self.layouts)
        )


def check_tensor(tensor, label, device, shape):
    """Raises what is wrong with a tensor that is to be bound."""
    if tensor.layout != torch.strided:
        raise WrongTypeError(f"{label} is {tensor.layout}, not strided")
    if tensor.device.type not in ("cpu", "cuda"):
        raise WrongDeviceError(f"{label} is on {tensor.device}: only cpu and cuda can be rescaled")
    if tensor.device != device:
        raise WrongDeviceError(f"{label} is on {tensor.device}, the parameters are on {device}")
    if str(tensor.dtype) not in native.TYPES:
        raise WrongTypeError(f"{label} is of type {tensor.dtype}; float32, float64, float16 and bfloat16 can be rescaled")
    if tuple(tensor.shape) != tuple(shape):
        raise WrongShapeError(f"{label} has the shape {tuple(tensor.shape)}, the network was described with {tuple(shape)}")
    if tensor.numel():
        last = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.stride())) + tensor.storage_offset() + 1
        if tensor.data_ptr() == 0 or _storage_bytes(tensor) < last * tensor.element_size():
            raise NotBoundError(f"the memory of {label} is gone")


def _storage_bytes(tensor) -> int:
    storage = tensor.untyped_storage() if hasattr(tensor, "untyped_storage") else tensor.storage()
    return storage.nbytes()


class Session:
    """A network and a session of the library, freed together."""

    def __init__(self, library, text, configure):
        self.library = library
        network = library.network(text)
        try:
            options = library.options()
            configure(options)
            self.handle = library.session(network, options)
        finally:
            library.en_network_free(network)
        self._slots: Dict[Tuple, Slot] = {}
        self._free = weakref.finalize(self, library.en_session_free, self.handle)

    def bind(self, name, tensor, kind=None, number=0):
        """Binds a parameter, or what moves with it; None takes it back."""
        key = (name, kind, number)
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = Slot(name, kind, number)
        slot.bind(self.library, self.handle, tensor)

    def close(self):
        self._free()


class Places:
    """Where the parameters of a model are kept, to read them again quickly and to see that they are still the model's."""

    def __init__(self, model, names):
        modules = dict(model.named_modules())
        self.names: List[str] = list(names)
        owners = [name.rpartition(".") for name in self.names]
        self._tables = [modules[owner]._parameters for owner, _, _ in owners]
        self._keys = [key for _, _, key in owners]
        paths = dict.fromkeys(
            path for owner, _, _ in owners for path in itertools.accumulate(owner.split("."), lambda a, b: f"{a}.{b}") if path
        )
        self._paths = list(paths)
        self._children = [modules[path.rpartition(".")[0]]._modules for path in self._paths]
        self._child_keys = [path.rpartition(".")[2] for path in self._paths]
        self._modules = [modules[path] for path in self._paths]

    def read(self) -> list:
        """The parameters now. Raises NotBoundError where one, or the module that had it, is gone."""
        found = list(map(dict.get, self._children, self._child_keys))
        if not all(map(operator.is_, found, self._modules)):
            path = next(p for p, a, b in zip(self._paths, found, self._modules) if a is not b)
            raise NotBoundError(f"module {path} was replaced or removed since the network was described: make a new EquiNorm")
        found = list(map(dict.get, self._tables, self._keys))
        if type(None) in map(type, found):
            name = next(n for n, t in zip(self.names, found) if t is None)
            raise NotBoundError(f"parameter {name} was removed since the network was described: make a new EquiNorm")
        return found


def bumper(tensors):
    """A function that advances the version counters of tensors: autograd then notices what was saved for backward and has changed."""
    increment = getattr(torch.autograd.graph, "increment_version", None)
    if not tensors:
        return lambda: None
    if increment is not None:
        try:
            increment(tensors)
            return lambda: increment(tensors)
        except (TypeError, AttributeError):
            return lambda: [increment(t) for t in tensors]
    # A detached tensor shares the counter, and this operation does nothing to real numbers but advance it (measured on torch 1.13 for 62
    # parameters: half of the time of torch._foreach_zero_ on empty views).
    views = list(map(_T.detach, tensors))
    return lambda: collections.deque(map(_T.conj_physical_, views), 0)


def stream_of(device):
    """The current stream's handle, None on the CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.current_stream(device)
