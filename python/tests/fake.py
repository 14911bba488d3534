"""A stand-in for libequinorm: the same functions, in Python. Records what is bound and, in a step, multiplies by factors that a test chooses.

It balances nothing. What it does is check how the package uses the interface: struct sizes, lifetimes, order, addresses.
"""

import ctypes as ct
import json

import torch

from equinorm import _library as native

TYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


def at(struct):
    """The tensor that a struct describes, over the same memory."""
    shape = [struct.shape[k] for k in range(struct.dimensions)]
    strides = [struct.strides[k] for k in range(struct.dimensions)] if struct.strides else None
    dtype = TYPES[struct.type]
    size = torch.empty((), dtype=dtype).element_size()
    count = 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if strides else int(torch.Size(shape).numel())
    raw = (ct.c_char * (count * size)).from_address(struct.data)
    flat = torch.frombuffer(raw, dtype=dtype, count=count)
    return flat.as_strided(shape, strides) if strides else flat.reshape(shape)


class FakeSession:
    def __init__(self, description, options):
        self.description, self.options = description, options
        self.declared = {w["name"]: w for w in description["weights"]}
        self.bound, self.companions = {}, {}
        self.binds = self.steps = 0
        self.freed = False


class Fake:
    """`scale(name)` gives the factor of a parameter in a step; `fail` a status for the next step."""

    def __init__(self, scale=lambda name: 2.0):
        self.scale, self.sessions, self.fail, self.text = scale, [], 0, b""

    def en_abi_version(self):
        return native.ABI_VERSION

    def en_version(self):
        return b"fake"

    def en_last_error(self):
        return self.text

    def en_status_name(self, status):
        return b"EN_%d" % status

    def en_cuda_device_count(self, count):
        return 0

    def en_network_from_json(self, text, count, handle):
        assert len(text) == count
        self.network = json.loads(text.decode("utf-8"))
        handle._obj.value = 1
        return 0

    def en_network_free(self, network):
        pass

    def en_network_groups(self, *_):
        return 14

    def en_options_init(self, options, size):
        assert size == 56, size
        options._obj.size, options._obj.p, options._obj.c, options._obj.coarse_correction = size, 2, 1, 1
        return 0

    def en_session_create(self, network, options, handle):
        copy = native.Options.from_buffer_copy(options._obj)
        self.sessions.append(FakeSession(self.network, copy))
        handle._obj.value = len(self.sessions)
        return 0

    def en_session_free(self, session):
        self.sessions[session.value - 1].freed = True
        return 0

    def _bind(self, session, name, key, tensor, table):
        s = self.sessions[session.value - 1]
        assert not s.freed
        s.binds += 1
        if name.decode() not in s.declared:
            self.text = b"no weight " + name
            return 3
        if tensor is None:
            table.pop(key, None)
            return 0
        struct = tensor._obj
        assert struct.size == 48 and struct.reserved == 0 and struct.device_kind == 1
        declared = s.declared[name.decode()]
        if [struct.shape[k] for k in range(struct.dimensions)] != declared["shape"]:
            self.text = b"shape of " + name
            return 5
        table[key] = struct
        return 0

    def en_session_bind(self, session, name, tensor):
        return self._bind(session, name, name.decode(), tensor, self.sessions[session.value - 1].bound)

    def en_session_bind_companion(self, session, name, kind, slot, tensor):
        return self._bind(session, name, (name.decode(), kind, slot), tensor, self.sessions[session.value - 1].companions)

    def en_session_prepare(self, session, stream):
        return 0

    def en_session_step(self, session, stream, applied):
        s = self.sessions[session.value - 1]
        if self.fail:
            return self.fail
        missing = s.declared.keys() - s.bound.keys()
        if missing:
            self.text = b"not bound"
            return 7
        s.steps += 1
        for name, struct in s.bound.items():
            at(struct).mul_(self.scale(name))
        for (name, kind, _), struct in s.companions.items():
            at(struct).mul_(self.scale(name) ** {0: 1, 1: -1, 2: -2}[kind])
        return 0

    def en_session_report(self, session, report):
        assert report._obj.size == 48
        report._obj.applied, report._obj.objective_before = 1, 3.5
        return 0

    def en_session_solve(self, session, stream, tolerance, sweeps, warm, result):
        assert result._obj.size == 56
        result._obj.state, result._obj.gap_bound = 0, float("nan")
        return 0

    def en_session_apply(self, session, stream, inverse, report):
        return self.en_session_step(session, stream, None)

    def en_session_log_factors(self, session, name, axis, factors, count):
        for k in range(count):
            factors[k] = k
        return 0

    en_session_workspace_bytes = en_session_set_workspace = lambda self, *_: 14


def library(**kwargs):
    fake = Fake(**kwargs)
    return fake, native.Library(fake, "fake")
