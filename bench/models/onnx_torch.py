"""Runs an ONNX model in float64, operator by operator, on torch. Knows what torch exports for the networks here, and nothing of rescaling."""
import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch.nn import functional as F


def run(path, image):
    graph = onnx.load(path).graph
    values = {t.name: tensor(t) for t in graph.initializer}
    values[graph.input[0].name] = image.double() if image.is_floating_point() else image
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        results = evaluate(node, attributes, [values[n] if n else None for n in node.input])
        values.update(zip(node.output, results if isinstance(results, (list, tuple)) else [results]))
    return values[graph.output[0].name].numpy()


def tensor(t):
    array = np.array(numpy_helper.to_array(t))
    return torch.from_numpy(array.astype(np.float64) if array.dtype == np.float32 else array)


def padded(x, attributes, value=0.0):
    pads = attributes.get("pads")
    if not pads or not any(pads):
        return x
    half = len(pads) // 2
    return F.pad(x, [p for d in reversed(range(half)) for p in (pads[d], pads[d + half])], value=value)


def pool(x, a, maximum):
    dims = len(a["kernel_shape"])
    function = ((F.avg_pool1d, F.max_pool1d), (F.avg_pool2d, F.max_pool2d), (F.avg_pool3d, F.max_pool3d))[dims - 1][maximum]
    if maximum:
        return function(padded(x, a, -float("inf")), a["kernel_shape"], a.get("strides", 1), ceil_mode=bool(a.get("ceil_mode", 0)))
    count = function(padded(torch.ones_like(x), a), a["kernel_shape"], a.get("strides", 1)) if not a.get("count_include_pad", 0) else 1.0
    return function(padded(x, a), a["kernel_shape"], a.get("strides", 1)) / count


def convolution(x, a, w, bias, transposed):
    dims = w.dim() - 2
    stride, dilation, groups = a.get("strides", [1] * dims), a.get("dilations", [1] * dims), a.get("group", 1)
    if not transposed:
        return (F.conv1d, F.conv2d, F.conv3d)[dims - 1](padded(x, a), w, bias, stride, 0, dilation, groups)
    pads = a.get("pads", [0] * 2 * dims)
    assert pads[:dims] == pads[dims:]
    return (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1](
        x, w, bias, stride, pads[:dims], a.get("output_padding", [0] * dims), groups, dilation)


def one_slice(x, starts, ends, axes, steps):
    index = [slice(None)] * x.dim()
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def axes_of(a, inputs, place):
    return a["axes"] if "axes" in a else inputs[place].tolist()


def evaluate(node, a, i):
    op = node.op_type
    x = i[0] if i else None
    simple = {
        "Relu": torch.relu, "Sigmoid": torch.sigmoid, "Sqrt": torch.sqrt, "Identity": lambda v: v, "Dropout": lambda v: v, "Erf": torch.erf,
        "HardSwish": F.hardswish, "Tanh": torch.tanh, "Shape": lambda v: torch.tensor(v.shape), "Neg": torch.neg, "Cos": torch.cos, "Sin": torch.sin,
        "Reciprocal": torch.reciprocal, "Exp": torch.exp,
    }
    if op in simple:
        return simple[op](x)
    if op in ("Add", "Sub", "Mul", "Div", "Pow"):
        y = i[1]
        return {"Add": x + y, "Sub": x - y, "Mul": x * y, "Pow": x ** y}[op] if op != "Div" else (x / y if x.is_floating_point() else x // y)
    if op == "Constant":
        return tensor(a["value"])
    if op in ("Conv", "ConvTranspose"):
        return convolution(x, a, i[1], i[2] if len(i) > 2 else None, op == "ConvTranspose")
    if op == "BatchNormalization":
        return F.batch_norm(x, i[3], i[4], i[1], i[2], eps=a.get("epsilon", 1e-5))
    if op in ("MaxPool", "AveragePool"):
        return pool(x, a, op == "MaxPool")
    if op == "GlobalAveragePool":
        return x.mean(dim=tuple(range(2, x.dim())), keepdim=True)
    if op == "Gemm":
        w = i[1].t() if a.get("transB", 0) else i[1]
        y = a.get("alpha", 1.0) * (x @ w)
        return y if len(i) < 3 else y + a.get("beta", 1.0) * i[2]
    if op == "Softmax":
        return torch.softmax(x, a.get("axis", -1))
    if op == "LayerNormalization":
        return F.layer_norm(x, x.shape[a.get("axis", -1):], i[1], i[2] if len(i) > 2 else None, a.get("epsilon", 1e-5))
    if op == "Where":
        return torch.where(x.bool(), i[1], i[2])
    if op == "Equal":
        return x == i[1]
    if op == "ConstantOfShape":
        value = tensor(a["value"]) if "value" in a else torch.zeros(1, dtype=torch.float64)
        return value.reshape(()).expand(x.tolist()).clone()
    if op == "Expand":
        return x.expand(torch.broadcast_shapes(x.shape, tuple(i[1].tolist()))).clone()
    if op == "Range":
        return torch.arange(x.item(), i[1].item(), i[2].item())
    if op == "Trilu":
        return (torch.triu if a.get("upper", 1) else torch.tril)(x, int(i[1]) if len(i) > 1 else 0)
    if op == "Squeeze":
        for axis in sorted(axes_of(a, i, 1), reverse=True):
            x = x.squeeze(axis)
        return x
    if op == "MatMul":
        return x @ i[1]
    if op == "HardSigmoid":
        return torch.clamp(a.get("alpha", 0.2) * x + a.get("beta", 0.5), 0, 1)
    if op == "Clip":
        return torch.clamp(x, *(None if v is None else v.item() for v in (i + [None, None])[1:3]))
    if op == "Flatten":
        return x.reshape(int(np.prod(x.shape[:a.get("axis", 1)])), -1)
    if op == "Reshape":
        return x.reshape([x.shape[d] if e == 0 else e for d, e in enumerate(i[1].tolist())])
    if op == "Transpose":
        return x.permute(a["perm"])
    if op == "Concat":
        return torch.cat(i, a["axis"])
    if op == "Split":
        sizes = a.get("split") or (i[1].tolist() if len(i) > 1 else [x.shape[a.get("axis", 0)] // len(node.output)] * len(node.output))
        return torch.split(x, sizes, a.get("axis", 0))
    if op == "Slice":
        starts, ends = i[1].tolist(), i[2].tolist()
        return one_slice(x, starts, ends, i[3].tolist() if len(i) > 3 else range(len(starts)), i[4].tolist() if len(i) > 4 else [1] * len(starts))
    if op == "Unsqueeze":
        for axis in sorted(axes_of(a, i, 1)):
            x = x.unsqueeze(axis)
        return x
    if op == "Gather":
        return torch.index_select(x, a.get("axis", 0), i[1].reshape(-1) % x.shape[a.get("axis", 0)]).reshape(
            [*x.shape[:a.get("axis", 0)], *i[1].shape, *x.shape[a.get("axis", 0) + 1:]])
    if op == "ReduceMean":
        return x.mean(dim=tuple(axes_of(a, i, 1)), keepdim=bool(a.get("keepdims", 1)))
    if op == "DepthToSpace":
        assert a.get("mode") == b"CRD"
        return F.pixel_shuffle(x, a["blocksize"])
    if op == "Pad":
        return padded(x, {"pads": i[1].tolist()})
    if op == "Cast":
        return x.double() if a["to"] == 1 else x.bool() if a["to"] == 9 else x.long()
    raise NotImplementedError(op)
