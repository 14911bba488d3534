"""What each function does to channels: passes them on, ties them, makes new ones, or needs them as they are (then they are pinned).

A rule gets the interpreter (`i`) and the recorded arguments. Positively homogeneous, channel by channel: passed on. A function that is in no
table is unknown, and everything that goes in or comes out is pinned; so is every known function with arguments that a rule does not expect.
"""

import operator

import torch
import torch.nn.functional as F

from ._values import Activation, Fixed, Param, Size, index_of, permute, reshape


class Unexpected(Exception):
    """The arguments are not what the rule knows. The interpreter then pins what they hold."""


def _number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _need(condition):
    if not condition:
        raise Unexpected


# Element by element ----------------------------------------------------------------------------------------------------------------


def same(i, x, *args, **kwargs):
    """Homogeneous, element by element."""
    i.foreign((args, kwargs))
    return x


def cast(i, x, *args, **kwargs):
    for a in (*args, *kwargs.values()):
        _need(not isinstance(a, torch.dtype) or a.is_floating_point)
    return x


def bent(i, x, *args, **kwargs):
    """Not homogeneous, same shape."""
    i.pin((x, args, kwargs), i.label)
    i.foreign((args, kwargs))
    return x if isinstance(x, (Activation, Fixed)) else Fixed(i.label)


def normalised(i, x, *args, **kwargs):
    return bent(i, x, *args, **kwargs)


def add(i, a, b, alpha=1):
    _need(_number(alpha) and alpha != 0)
    for x, y in ((a, b), (b, a)):
        if _number(y):
            return x if y == 0 or isinstance(x, Fixed) else bent(i, x)
    return tied(i, a, b)


def tied(i, a, b):
    """Homogeneous in both together: channel c of both shares one factor."""
    i.foreign((a, b))
    if isinstance(a, Activation) and isinstance(b, Activation):
        if (a.dims, a.positions, a.split, len(a.channels)) == (b.dims, b.positions, b.split, len(b.channels)):
            i.builder.tie(a.channels, b.channels)
            return a.with_sizes(_broadcast(a.sizes, b.sizes))
        i.pin((a, b), f"{i.label} of activations with channels in different places")
        return Fixed(i.label)
    for x, y in ((a, b), (b, a)):
        if isinstance(x, Activation):
            i.pin(x, f"{i.label}, the other operand is {_what(y)}")
            return x.with_sizes(None if x.plain else x.sizes) if len(x.channels) > 1 else Fixed(i.label)
    return Fixed(i.label)


def product(i, a, b):
    for x, y in ((a, b), (b, a)):
        if _number(y) or isinstance(y, Size):
            return x
    i.foreign((a, b))
    i.pin((a, b), f"{i.label}, a product of activations" if isinstance(a, Activation) and isinstance(b, Activation) else i.label)
    alike = [x for x in (a, b) if isinstance(x, Activation) and x.plain]
    if len(alike) == 2 and alike[0].dims == alike[1].dims and len(alike[0].channels) == len(alike[1].channels):
        return a.with_sizes(_broadcast(a.sizes, b.sizes))
    return Fixed(i.label)


def quotient(i, a, b, **kwargs):
    _need(not kwargs and (_number(b) or isinstance(b, Size)))
    return a


def _broadcast(a, b):
    if a is None or b is None or len(a) != len(b):
        return None
    return tuple(y if x == 1 and not isinstance(y, int) else max(x, y) if isinstance(x, int) and isinstance(y, int) else x for x, y in zip(a, b))


def _what(value):
    if isinstance(value, Fixed):
        return value.reason
    return f"parameter {value.name}" if isinstance(value, Param) else "no activation"


# Along other dimensions than the channels ------------------------------------------------------------------------------------------


def spatial(n, extents=None):
    """Works within each channel over the last n dimensions."""

    def rule(i, x, *args, **kwargs):
        i.foreign((args, kwargs))
        pair = kwargs.pop("return_indices", False)
        out = _over_last(x, n, extents(args, kwargs) if extents else None)
        return (out, Fixed(i.label)) if pair else out

    return rule


def _over_last(x, n, extents=None):
    if isinstance(x, Fixed):
        sizes = x.sizes
    else:
        _need(isinstance(x, Activation) and all(d < -n for d in x.dims))
        sizes = x.sizes
    if sizes is not None:
        new = extents if isinstance(extents, (tuple, list)) else (extents,) * n
        # Adaptive pooling takes None for "as it is".
        sizes = sizes[:-n] + tuple(e if isinstance(e, int) else Size() for e in new)
    return Fixed(x.reason, sizes) if isinstance(x, Fixed) else x.with_sizes(sizes)


def first_of(args, kwargs):
    return args[0] if args else kwargs.get("output_size")


def interpolate(i, x, *args, **kwargs):
    """All modes are linear within a channel."""
    if isinstance(x, Fixed):
        return Fixed(x.reason)
    _need(x.sizes is not None)
    return _over_last(x, len(x.sizes) - 2)


def pad(i, x, pad, mode="constant", value=None):
    _need(isinstance(pad, (tuple, list)))
    n = len(pad) // 2
    if mode == "constant" and value not in (None, 0):
        return bent(i, _over_last(x, n))
    return _over_last(x, n)


def reduced(i, x, dim=None, keepdim=False, **kwargs):
    """A sum, mean or largest value over dimensions that are not the channels'."""
    kwargs.pop("dtype", None)
    _need(not kwargs and dim is not None and isinstance(keepdim, bool))
    dims = list(dim) if isinstance(dim, (tuple, list)) else [dim]
    _need(all(isinstance(d, int) for d in dims))
    if isinstance(x, Fixed):
        return Fixed(x.reason)
    _need(isinstance(x, Activation) and x.sizes is not None)
    rank = len(x.sizes)
    gone = {index_of(d, rank) for d in dims}
    _need(not gone & set(x.dims))
    if keepdim:
        return x.with_sizes(tuple(1 if k - rank in gone else s for k, s in enumerate(x.sizes)))
    sizes = tuple(s for k, s in enumerate(x.sizes) if k - rank not in gone)
    moved = tuple(d + sum(1 for g in gone if g > d) for d in x.dims)
    return Activation(x.channels, moved, sizes, x.positions, x.split)


def largest(i, x, *args, **kwargs):
    """max(x, dim) gives values and places; max(a, b) ties."""
    if args and isinstance(args[0], (Activation, Fixed, Param)):
        return tied(i, x, args[0])
    return (reduced(i, x, *args, **kwargs), Fixed(i.label))


# Shapes ----------------------------------------------------------------------------------------------------------------------------


def flatten(i, x, start_dim=0, end_dim=-1):
    if isinstance(x, Fixed) and x.sizes is None:
        return Fixed(x.reason, (Size(),) * 2 if (start_dim, end_dim) == (1, -1) else None)
    _need(isinstance(x, (Activation, Fixed)) and x.sizes is not None and isinstance(start_dim, int) and isinstance(end_dim, int))
    rank = len(x.sizes)
    start, end = start_dim % rank, end_dim % rank
    return _reshaped(x, x.sizes[:start] + (-1,) + x.sizes[end + 1 :])


def view(i, x, *shape):
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if isinstance(x, Fixed) and x.sizes is None:
        return Fixed(x.reason, tuple(Size() for _ in shape))
    _need(isinstance(x, (Activation, Fixed)) and x.sizes is not None)
    return _reshaped(x, shape)


def unflatten(i, x, dim, sizes):
    _need(isinstance(x, (Activation, Fixed)) and x.sizes is not None and isinstance(dim, int))
    at = dim % len(x.sizes)
    return _reshaped(x, x.sizes[:at] + tuple(sizes) + x.sizes[at + 1 :])


def _reshaped(x, shape):
    out = reshape(x, shape)
    _need(out is not None)
    return out


def squeeze(i, x, dim=None):
    _need(x.sizes is not None and isinstance(dim, int))
    at = dim % len(x.sizes)
    _need(x.sizes[at] == 1 and (isinstance(x, Fixed) or at - len(x.sizes) not in x.dims))
    return _reshaped(x, x.sizes[:at] + x.sizes[at + 1 :])


def unsqueeze(i, x, dim):
    _need(x.sizes is not None and isinstance(dim, int))
    at = dim % (len(x.sizes) + 1)
    return _reshaped(x, x.sizes[:at] + (1,) + x.sizes[at:])


def permuted(i, x, *dims):
    dims = dims[0] if len(dims) == 1 and isinstance(dims[0], (tuple, list)) else dims
    _need(x.sizes is not None and len(dims) == len(x.sizes) and all(isinstance(d, int) for d in dims))
    return permute(x, [d % len(x.sizes) for d in dims])


def transposed(i, x, dim0, dim1):
    _need(x.sizes is not None)
    order = list(range(len(x.sizes)))
    order[dim0], order[dim1] = order[dim1], order[dim0]
    return permute(x, order)


def size(i, x, dim=None):
    _need(not isinstance(x, Param))
    if x.sizes is None:
        return Fixed("a size") if dim is None else Size()
    return tuple(x.sizes) if dim is None else x.sizes[dim]


def attribute(i, x, name, *default):
    if name == "shape":
        return size(i, x)
    if name in ("dtype", "device", "is_cuda", "requires_grad", "layout"):
        return Fixed("a property")
    if name == "ndim":
        return rank(i, x)
    raise Unexpected


def rank(i, x):
    return Size() if x.sizes is None else len(x.sizes)


def item(i, x, index):
    if isinstance(x, (tuple, list, dict)):
        return x[index] if isinstance(index, (int, slice, str)) else Fixed(i.label)
    if isinstance(x, Fixed):
        return Fixed(x.reason)
    _need(isinstance(x, Activation) and x.plain and x.sizes is not None)
    index = index if isinstance(index, tuple) else (index,)
    _need(all(isinstance(k, (int, slice)) for k in index) and len(index) <= len(x.sizes))
    total = len(x.sizes)
    channels, sizes, place = x.channels, [], None
    for at in range(total):
        k = index[at] if at < len(index) else slice(None)
        if at - total == x.dim:
            _need(isinstance(k, slice) and all(b is None or isinstance(b, int) for b in (k.start, k.stop, k.step)))
            channels = channels[k]
            place = len(sizes)
            sizes.append(len(channels))
        elif isinstance(k, slice):
            sizes.append(x.sizes[at] if k == slice(None) else Size())
    return Activation(channels, (place - len(sizes),), tuple(sizes))


# Ranges of channels ----------------------------------------------------------------------------------------------------------------


def cat(i, tensors, dim=0, axis=None):
    dim = dim if axis is None else axis
    _need(isinstance(tensors, (tuple, list)) and isinstance(dim, int))
    if all(isinstance(t, Fixed) for t in tensors):
        return Fixed(i.label)
    parts = [_shaped(i, t, dim) for t in tensors]
    _need(all(isinstance(t, Activation) for t in parts))
    dims = {(t.dims, t.positions) for t in parts}
    _need(len(dims) == 1 and all(len(t.dims) == 1 for t in parts))
    at, positions = dims.pop()
    _need(positions is not None)
    if dim >= 0:
        ranks = {None if t.sizes is None else len(t.sizes) for t in parts}
        _need(None not in ranks and len(ranks) == 1)
        dim = index_of(dim, ranks.pop())
    _need(dim == at[0])
    channels = tuple(c for t in parts for c in t.channels)
    sizes = parts[0].sizes
    if sizes is not None:
        sizes = sizes[:dim] + (len(channels) * positions,) + (sizes[dim + 1 :] if dim != -1 else ())
    return Activation(channels, at, sizes, positions)


def _shaped(i, t, dim):
    """What is not rescaled takes part with pinned channels, where its extent is known."""
    if isinstance(t, Fixed) and t.sizes is not None and isinstance(t.sizes[dim], int):
        made = i.builder.axis(f"part of {i.label}", t.sizes[dim], t.reason)
        return Activation(made, (index_of(dim, len(t.sizes)),), t.sizes)
    return t


def chunk(i, x, chunks, dim=0):
    _need(isinstance(x, (Activation, Fixed)) and isinstance(chunks, int))
    if isinstance(x, Fixed):
        return (Fixed(x.reason),) * chunks
    count = len(x.channels)
    each = -(-count // chunks)
    return _parts(x, [min(each, count - k) for k in range(0, count, each)], dim)


def split(i, x, sections, dim=0):
    if isinstance(x, Fixed):
        return Fixed(x.reason)
    _need(isinstance(x, Activation))
    if isinstance(sections, int):
        sections = [min(sections, len(x.channels) - k) for k in range(0, len(x.channels), sections)]
    _need(isinstance(sections, (tuple, list)) and all(isinstance(s, int) for s in sections))
    return _parts(x, sections, dim)


def _parts(x, counts, dim):
    _need(x.plain and (dim < 0 or x.sizes is not None))
    at = index_of(dim, len(x.sizes)) if dim >= 0 else dim
    _need(at == x.dim and sum(counts) == len(x.channels))
    made, start = [], 0
    for count in counts:
        channels = x.channels[start : start + count]
        sizes = None
        if x.sizes is not None:
            sizes = tuple(count if k - len(x.sizes) == at else s for k, s in enumerate(x.sizes))
        made.append(Activation(channels, x.dims, sizes))
        start += count
    return tuple(made)


def shuffle(i, x, groups):
    _need(isinstance(x, Activation) and x.plain and len(x.channels) % groups == 0)
    each = len(x.channels) // groups
    channels = tuple(x.channels[g * each + k] for k in range(each) for g in range(groups))
    return Activation(channels, x.dims, x.sizes)


# Tables ----------------------------------------------------------------------------------------------------------------------------

_SAME = (
    "relu leaky_relu rrelu prelu abs absolute neg negative positive dropout dropout1d dropout2d dropout3d feature_dropout clone contiguous "
    "detach float double half bfloat16 cuda cpu type_as requires_grad_"
).split()
_BENT = (
    "relu6 hardtanh clamp clip clamp_min clamp_max sigmoid tanh gelu silu mish hardswish hardsigmoid elu selu celu softplus softsign softmax "
    "log_softmax softmin tanhshrink softshrink hardshrink logsigmoid threshold alpha_dropout feature_alpha_dropout exp log sqrt rsqrt square "
    "pow reciprocal sign round floor ceil sin cos layer_norm normalize local_response_norm"
).split()

BY_NAME = {
    **{name: same for name in _SAME},
    **{name: bent for name in _BENT},
    "to": cast,
    "add": add, "iadd": add, "sub": add, "isub": add, "subtract": add,
    "mul": product, "imul": product, "multiply": product,
    "div": quotient, "truediv": quotient, "itruediv": quotient, "true_divide": quotient, "divide": quotient,
    "maximum": tied, "minimum": tied, "max": largest, "min": largest,
    **{f"{kind}_pool{n}d": spatial(n) for kind in ("max", "avg") for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": lambda i, x, *a, _n=n, **k: (_over_last(x, _n), Fixed(i.label)) for n in (1, 2, 3)},
    **{f"adaptive_{kind}_pool{n}d": spatial(n, first_of) for kind in ("max", "avg") for n in (1, 2, 3)},
    "interpolate": interpolate, "upsample": interpolate, "upsample_nearest": interpolate, "upsample_bilinear": interpolate,
    "pad": pad,
    "mean": reduced, "sum": reduced, "amax": reduced, "amin": reduced,
    "flatten": flatten, "view": view, "reshape": view, "unflatten": unflatten,
    "squeeze": squeeze, "unsqueeze": unsqueeze, "permute": permuted, "transpose": transposed, "swapaxes": transposed,
    "size": size, "dim": rank, "ndimension": rank, "getitem": item, "getattr": attribute,
    "cat": cat, "concat": cat, "concatenate": cat,
    "chunk": chunk, "split": split, "channel_shuffle": shuffle, "native_channel_shuffle": shuffle,
}


def _functions():
    table = {getattr: attribute}
    for name, rule in BY_NAME.items():
        for space in (torch, F, operator):
            for spelled in (name, f"{name}_"):
                found = getattr(space, spelled, None)
                if callable(found):
                    table[found] = rule
    # Functions of a different meaning under these names.
    for wrong in (getattr(torch, "dropout_", None), operator.truth):
        table.pop(wrong, None)
    return table


FUNCTIONS = _functions()


def method_rule(name):
    """The rule of a tensor's method; `relu_` works in place, which is the same to channels."""
    plain = {"__add__": "add", "__radd__": "add", "__mul__": "mul", "__rmul__": "mul", "__truediv__": "div"}.get(name)
    return BY_NAME.get(plain or name) or (BY_NAME.get(name[:-1]) if name.endswith("_") and not name.endswith("__") else None)
