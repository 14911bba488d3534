"""The extents of all recorded values for an example, by running the recording once in evaluation, without gradients and hooks."""

import torch

from ._trace import _undisturbed


def example_sizes(model, recording, example) -> dict:
    """For each node the extents of its tensor, or a list of them for several."""
    inputs = iter(example if isinstance(example, (tuple, list)) else (example,))
    values, sizes = {}, {}
    with torch.no_grad(), torch.random.fork_rng(devices=[]), _undisturbed(model, False):
        for node in recording.graph.nodes:
            args = torch.fx.node.map_arg(node.args, lambda n: values[n])
            kwargs = torch.fx.node.map_arg(node.kwargs, lambda n: values[n])
            values[node] = _run(model, recording, node, args, kwargs, inputs)
            sizes[node] = _sizes(values[node])
    return sizes


def _run(model, recording, node, args, kwargs, inputs):
    if node.op == "placeholder":
        return next(inputs, args[0] if args else None)
    if node.op == "get_attr":
        value = recording.constants.get(node.target)
        if value is None:
            value = model
            for part in node.target.split("."):
                value = getattr(value, part)
        return value
    if node.op == "call_module":
        return model.get_submodule(node.target)(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs) if node.op == "call_function" else None


def _sizes(value):
    if isinstance(value, torch.Tensor):
        return tuple(value.shape)
    if isinstance(value, (list, tuple)):
        return [_sizes(v) for v in value]
    return None
