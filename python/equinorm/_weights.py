"""Rules of what has weights: dense layers, convolutions, normalisations. W[o, i, k] becomes W[o, i, k] * d_out[o] / d_in[i]."""

import torch
import torch.nn.functional as F
from torch import nn

from . import _rules as rules
from ._rules import Unexpected, _need
from ._values import Activation, Fixed, Param, Size, index_of


def linear(i, x, weight, bias=None):
    _need(isinstance(weight, Param) and weight.tensor.dim() == 2 and isinstance(x, (Activation, Fixed)))
    outputs, inputs = weight.tensor.shape
    read = i.read(x, -1, inputs, positions=True)
    out = i.weight(weight, outputs, read)
    _bias(i, bias, out)
    sizes = None if x.sizes is None else x.sizes[:-1] + (outputs,)
    return Activation(out, (-1,), sizes)


def convolution(n, transposed):
    def rule(i, x, weight, bias=None, stride=1, padding=0, a=1, b=1, c=1):
        # Positional: conv(dilation, groups), conv_transpose(output_padding, groups, dilation).
        return _convolve(i, x, weight, bias, b)

    def named(i, x, weight, bias=None, *args, **kwargs):
        if "groups" in kwargs:
            return _convolve(i, x, weight, bias, kwargs["groups"])
        return rule(i, x, weight, bias, *args)

    def _convolve(i, x, weight, bias, groups):
        _need(isinstance(weight, Param) and weight.tensor.dim() == n + 2 and isinstance(x, (Activation, Fixed)) and isinstance(groups, int))
        first, second = weight.tensor.shape[:2]
        inputs, outputs = (first, second * groups) if transposed else (second * groups, first)
        read = i.read(x, -(n + 1), inputs)
        out = i.weight(weight, outputs, read, order="input-output" if transposed else "output-input", groups=groups)
        _bias(i, bias, out)
        batch = () if x.sizes is not None and len(x.sizes) == n + 1 else (x.sizes[0] if x.sizes else Size(),)
        return Activation(out, (-(n + 1),), batch + (outputs,) + tuple(Size() for _ in range(n)))

    return named


def normalisation(what):
    """The input must keep its scale (there is an epsilon); gain and shift are what writes the output."""

    def rule(i, x, weight, bias, count, dim):
        _need(isinstance(x, (Activation, Fixed)) and all(p is None or isinstance(p, Param) for p in (weight, bias)))
        reason = f"read by {what} {i.name} in training"
        i.pin(x, reason)
        if isinstance(x, Activation):
            known = x.dims == (dim,) if dim is not None else len(x.dims) == 1
            _need(known and len(x.channels) * (x.positions or 1) == count or x.positions is None and known)
            read = x.channels if x.positions == 1 else i.input_axis(count, reason)
            dim = x.dim
        else:
            if dim is None and x.sizes is not None:
                dim = index_of(1, len(x.sizes))
            read = i.input_axis(count, x.reason)
        if weight is not None and dim is not None:
            out = i.diagonal(weight, read)
        else:
            i.foreign((weight,))
            why = "without a gain" if weight is None else "along dimensions that are not known"
            out = i.builder.axis(i.name, count, f"written by {what} {i.name} {why}")
        _bias(i, bias, out)
        return Fixed(reason) if dim is None else Activation(out, (dim,), x.sizes)

    return rule


def _bias(i, bias, out):
    if isinstance(bias, Param) and tuple(bias.tensor.shape) == (len(out),):
        i.bias(bias, out)
    elif bias is not None:
        i.foreign((bias,))
        i.builder.pin(out, f"{i.label}: its bias is computed")


batch_norm, group_norm, instance_norm = (normalisation(f"{w} normalisation") for w in ("batch", "group", "instance"))


def functional_batch_norm(i, x, running_mean=None, running_var=None, weight=None, bias=None, *args, **kwargs):
    _need(isinstance(x, Activation) and x.plain and (x.sizes is not None or x.dim == -1))
    return batch_norm(i, x, weight, bias, len(x.channels), x.dim)


FUNCTIONS = {F.linear: linear, F.batch_norm: functional_batch_norm, torch.batch_norm: functional_batch_norm}
for _n in (1, 2, 3):
    for _space in (torch, F):
        FUNCTIONS[getattr(_space, f"conv{_n}d")] = convolution(_n, False)
        FUNCTIONS[getattr(_space, f"conv_transpose{_n}d")] = convolution(_n, True)


# Modules, by exact type: a subclass may do something else ---------------------------------------------------------------------------


def _linear(i, m, x):
    return linear(i, x, i.own(m, "weight"), i.own(m, "bias"))


def _convolution(n, transposed):
    rule = convolution(n, transposed)
    return lambda i, m, x, output_size=None: rule(i, x, i.own(m, "weight"), i.own(m, "bias"), groups=m.groups)


def _batch_norm(n):
    # Of a BatchNorm1d the number of dimensions is open: (N, C) or (N, C, L).
    def rule(i, m, x):
        dim = -(n + 1) if n > 1 else None
        if n == 1 and isinstance(x, Activation) and x.sizes is not None:
            _need(x.dim == index_of(1, len(x.sizes)))
        return batch_norm(i, x, i.own(m, "weight"), i.own(m, "bias"), m.num_features, dim)

    return rule


def _sync_batch_norm(i, m, x):
    _need(x.sizes is not None and (isinstance(x, Fixed) or x.dim == index_of(1, len(x.sizes))))
    return batch_norm(i, x, i.own(m, "weight"), i.own(m, "bias"), m.num_features, None)


def _instance_norm(n):
    return lambda i, m, x: instance_norm(i, x, i.own(m, "weight"), i.own(m, "bias"), m.num_features, -(n + 1))


def _group_norm(i, m, x):
    _need(x.sizes is not None and (isinstance(x, Fixed) or x.dim == index_of(1, len(x.sizes))))
    return group_norm(i, x, i.own(m, "weight"), i.own(m, "bias"), m.num_channels, None)


def _pool(n, extents=None):
    rule = rules.spatial(n, extents)
    return lambda i, m, x: rule(i, x, getattr(m, "output_size", None), return_indices=getattr(m, "return_indices", False))


def _constant_pad(n):
    def rule(i, m, x):
        out = rules._over_last(x, n)
        return out if getattr(m, "value", 0) == 0 else rules.bent(i, out)

    return rule


def _prelu(i, m, x):
    # A slope for each channel scales nothing: prelu(d x) = d prelu(x).
    return rules.same(i, x, i.own(m, "weight"))


def _same(i, m, x):
    return x


def _bent(i, m, x, *args):
    i.foreign(m)
    return rules.bent(i, x)


def _shuffle(i, m, x):
    return rules.shuffle(i, x, m.groups)


def _unflatten(i, m, x):
    _need(isinstance(m.dim, int) and all(isinstance(s, int) for s in m.unflattened_size))
    return rules.unflatten(i, x, m.dim, tuple(m.unflattened_size))


def _modules():
    table = {
        nn.Linear: _linear, nn.SyncBatchNorm: _sync_batch_norm, nn.GroupNorm: _group_norm, nn.PReLU: _prelu,
        nn.Flatten: lambda i, m, x: rules.flatten(i, x, m.start_dim, m.end_dim), nn.Unflatten: _unflatten,
        nn.Upsample: lambda i, m, x: rules.interpolate(i, x), nn.ChannelShuffle: _shuffle,
        nn.UpsamplingNearest2d: lambda i, m, x: rules.interpolate(i, x), nn.UpsamplingBilinear2d: lambda i, m, x: rules.interpolate(i, x),
    }
    for n in (1, 2, 3):
        table[getattr(nn, f"Conv{n}d")] = _convolution(n, False)
        table[getattr(nn, f"ConvTranspose{n}d")] = _convolution(n, True)
        table[getattr(nn, f"BatchNorm{n}d")] = _batch_norm(n)
        table[getattr(nn, f"InstanceNorm{n}d")] = _instance_norm(n)
        for kind in ("Max", "Avg"):
            table[getattr(nn, f"{kind}Pool{n}d")] = _pool(n)
            table[getattr(nn, f"Adaptive{kind}Pool{n}d")] = _pool(n, rules.first_of)
        for kind in ("Zero", "Constant", "Reflection", "Replication", "Circular"):
            if hasattr(nn, f"{kind}Pad{n}d"):
                table[getattr(nn, f"{kind}Pad{n}d")] = _constant_pad(n)
    for name in "Identity ReLU LeakyReLU RReLU Dropout Dropout1d Dropout2d Dropout3d".split():
        table[getattr(nn, name)] = _same
    for name in (
        "ReLU6 Hardtanh Sigmoid Tanh GELU SiLU Mish Hardswish Hardsigmoid ELU SELU CELU Softplus Softsign Softmax Softmax2d LogSoftmax "
        "Softmin Tanhshrink Softshrink Hardshrink LogSigmoid Threshold AlphaDropout FeatureAlphaDropout LayerNorm LocalResponseNorm"
    ).split():
        table[getattr(nn, name)] = _bent
    return table


MODULES = _modules()
