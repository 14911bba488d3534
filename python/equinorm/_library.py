"""libequinorm through ctypes: the functions of src/EquiNorm.Native/equinorm.h, with a Python exception for each status.

Looked for in EQUINORM_LIBRARY (a file, or a folder that holds it), beside this package, and where `dotnet publish` puts it in the repository.
"""

import ctypes as ct
import os
import pathlib
import platform
import sys
import threading

from ._errors import BY_STATUS, EquiNormError, LibraryNotFoundError

ABI_VERSION = 1

CPU, CUDA = 1, 2
COPY, FIRST_MOMENT, SECOND_MOMENT = 0, 1, 2
TYPES = {"torch.float32": 0, "torch.float64": 1, "torch.float16": 2, "torch.bfloat16": 3}
PENALTY_UNIFORM, PENALTY_SIZE, PENALTY_DEPTH = 0, 1, 2
SOLVE_STATES = ("converged", "sweep limit", "stalled")


class Options(ct.Structure):
    _fields_ = [
        ("size", ct.c_uint32), ("penalty", ct.c_int32), ("p", ct.c_double), ("c", ct.c_double), ("count_biases", ct.c_int32),
        ("coarse_correction", ct.c_int32), ("sweeps_per_step", ct.c_int32), ("every", ct.c_int32), ("threads", ct.c_int32),
        ("device_kind", ct.c_int32), ("device_index", ct.c_int32), ("reserved", ct.c_int32),
    ]


class Tensor(ct.Structure):
    _fields_ = [
        ("size", ct.c_uint32), ("type", ct.c_int32), ("device_kind", ct.c_int32), ("device_index", ct.c_int32), ("data", ct.c_void_p),
        ("dimensions", ct.c_int32), ("reserved", ct.c_int32), ("shape", ct.POINTER(ct.c_int64)), ("strides", ct.POINTER(ct.c_int64)),
    ]


class StepReport(ct.Structure):
    _fields_ = [
        ("size", ct.c_uint32), ("applied", ct.c_int32), ("objective_before", ct.c_double), ("residual", ct.c_double),
        ("frozen_channels", ct.c_int64), ("overflowed", ct.c_int64), ("underflowed", ct.c_int64),
    ]


class SolveResult(ct.Structure):
    _fields_ = [
        ("size", ct.c_uint32), ("state", ct.c_int32), ("sweeps", ct.c_double), ("objective_before", ct.c_double), ("objective", ct.c_double),
        ("residual", ct.c_double), ("gap_bound", ct.c_double), ("frozen_channels", ct.c_int64),
    ]


_P = ct.c_void_p
_PROTOTYPES = {
    "en_abi_version": (ct.c_int32, ()),
    "en_version": (ct.c_char_p, ()),
    "en_last_error": (ct.c_char_p, ()),
    "en_status_name": (ct.c_char_p, (ct.c_int32,)),
    "en_cuda_device_count": (ct.c_int32, (ct.POINTER(ct.c_int32),)),
    "en_network_from_json": (ct.c_int32, (ct.c_char_p, ct.c_size_t, ct.POINTER(_P))),
    "en_network_free": (None, (_P,)),
    "en_network_groups": (ct.c_int32, (_P, ct.c_char_p, ct.c_size_t, ct.POINTER(ct.c_size_t))),
    "en_options_init": (ct.c_int32, (ct.POINTER(Options), ct.c_size_t)),
    "en_session_create": (ct.c_int32, (_P, ct.POINTER(Options), ct.POINTER(_P))),
    "en_session_free": (ct.c_int32, (_P,)),
    "en_session_bind": (ct.c_int32, (_P, ct.c_char_p, ct.POINTER(Tensor))),
    "en_session_bind_companion": (ct.c_int32, (_P, ct.c_char_p, ct.c_int32, ct.c_int32, ct.POINTER(Tensor))),
    "en_session_workspace_bytes": (ct.c_int32, (_P, ct.POINTER(ct.c_size_t))),
    "en_session_set_workspace": (ct.c_int32, (_P, _P, ct.c_size_t)),
    "en_session_prepare": (ct.c_int32, (_P, _P)),
    "en_session_step": (ct.c_int32, (_P, _P, ct.POINTER(ct.c_int32))),
    "en_session_report": (ct.c_int32, (_P, ct.POINTER(StepReport))),
    "en_session_solve": (ct.c_int32, (_P, _P, ct.c_double, ct.c_int32, ct.c_int32, ct.POINTER(SolveResult))),
    "en_session_apply": (ct.c_int32, (_P, _P, ct.c_int32, ct.POINTER(StepReport))),
    "en_session_log_factors": (ct.c_int32, (_P, ct.c_char_p, ct.c_int32, ct.POINTER(ct.c_double), ct.c_size_t)),
}


class Library:
    """The functions, and what turns a status into an exception. `functions` is a CDLL, or in tests an object with the same functions."""

    def __init__(self, functions, path):
        self.functions = functions
        self.path = path
        for name, (result, arguments) in _PROTOTYPES.items():
            try:
                function = getattr(functions, name)
            except AttributeError as error:
                raise LibraryNotFoundError(f"{path} has no function {name}: it is not libequinorm, or an older one. {_HOW}") from error
            if isinstance(functions, ct.CDLL):
                function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        version = self.en_abi_version()
        if version != ABI_VERSION:
            raise LibraryNotFoundError(f"{path} speaks version {version} of the C interface, this package {ABI_VERSION}. {_HOW}")

    @property
    def version(self) -> str:
        return self.en_version().decode()

    def check(self, status: int) -> None:
        """Raises the exception of a status that is not EN_OK."""
        if status == 0:
            return
        text = (self.en_last_error() or b"").decode("utf-8", "replace")
        raise BY_STATUS.get(status, EquiNormError)(text or (self.en_status_name(status) or b"unknown status").decode())

    def options(self) -> Options:
        options = Options()
        self.check(self.en_options_init(ct.byref(options), ct.sizeof(options)))
        return options

    def network(self, text: str) -> ct.c_void_p:
        encoded, handle = text.encode("utf-8"), _P()
        self.check(self.en_network_from_json(encoded, len(encoded), ct.byref(handle)))
        return handle

    def groups(self, network) -> str:
        needed = ct.c_size_t()
        self.check(self.en_network_groups(network, None, 0, ct.byref(needed)))
        buffer = ct.create_string_buffer(needed.value)
        self.check(self.en_network_groups(network, buffer, needed.value, ct.byref(needed)))
        return buffer.value.decode("utf-8")

    def session(self, network, options) -> ct.c_void_p:
        handle = _P()
        self.check(self.en_session_create(network, ct.byref(options), ct.byref(handle)))
        return handle


_HOW = (
    "Build it in the repository with `dotnet publish src/EquiNorm.Native -c Release -r linux-x64`, or name it in EQUINORM_LIBRARY "
    "(a file, or the folder that holds it)"
)
_loaded = {}
_lock = threading.Lock()


def load(path=None) -> Library:
    """The library at `path`, or the first that is found; loaded once."""
    candidates = [pathlib.Path(path)] if path else list(_candidates())
    with _lock:
        for candidate in candidates:
            found = _file(candidate)
            if found is None:
                continue
            if found not in _loaded:
                try:
                    _loaded[found] = Library(ct.CDLL(str(found)), found)
                except OSError as error:
                    raise LibraryNotFoundError(f"{found} cannot be loaded: {error}. {_HOW}") from error
            return _loaded[found]
    raise LibraryNotFoundError(f"libequinorm was not found. {_HOW}")


def _candidates():
    named = os.environ.get("EQUINORM_LIBRARY")
    if named:
        # What the user names is meant; nothing else is taken in its place.
        yield pathlib.Path(named)
        return
    here = pathlib.Path(__file__).resolve().parent
    yield here
    for root in here.parents:
        build = root / "src" / "EquiNorm.Native" / "bin"
        if build.is_dir():
            yield from sorted(build.glob(f"*/*/{_rid()}/publish"), key=lambda p: ("Release" not in p.parts, str(p)))


def _file(candidate):
    if candidate.is_file():
        return candidate
    for name in _names():
        if (candidate / name).is_file():
            return candidate / name
    return None


def _names():
    suffix = {"win32": ".dll", "darwin": ".dylib"}.get(sys.platform, ".so")
    return [f"{name}{suffix}" for name in ("libequinorm", "equinorm", "EquiNorm.Native")]


def _rid():
    system = {"win32": "win", "darwin": "osx"}.get(sys.platform, "linux")
    machine = platform.machine().lower()
    return f"{system}-{'arm64' if machine in ('arm64', 'aarch64') else 'x64'}"
