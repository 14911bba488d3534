"""A network as equi-normalization sees it: weights between axes of channels, in the form of docs/network-json.md.

Channels are numbers that a NetworkBuilder hands out, and an activation's channels are a tuple of them: a concatenation is `a + b`, a part is
`a[2:5]`. Ties and pins act on single channels (union-find), so additions of concatenations fall apart into what moves independently.
"""

import bisect
import json
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Tuple

from ._errors import InvalidNetworkError

WEIGHT, DIAGONAL, BIAS = "weight", "diagonal", "bias"

Channels = Tuple[int, ...]


@dataclass
class Use:
    """One use of a parameter: what it writes (`output`) and reads (`input`, none for a bias)."""

    name: str
    kind: str
    output: Channels
    input: Channels = ()
    order: str = "output-input"
    groups: int = 1
    height: Optional[int] = None
    declared: dict = field(default_factory=dict)  # type, shape, strides: where a description gives them


@dataclass(frozen=True)
class Group:
    """Channels that are rescaled together."""

    name: str
    channels: int
    sources: Tuple[str, ...]  # parameters that are multiplied by the factors
    sinks: Tuple[str, ...]  # parameters that are divided by them
    reasons: Tuple[str, ...]  # why the factors stay 1; none: free

    @property
    def pinned(self) -> Optional[str]:
        """Why the factors stay 1, or None where they are free."""
        return self.reasons[0] if self.reasons else None

    def __str__(self):
        text = f"{self.name} [{self.channels}]"
        return f"{text}, pinned: {self.pinned}" if self.reasons else text


@dataclass
class _Axis:
    name: str
    start: int
    count: int


class NetworkBuilder:
    """Declares a network by hand.

        b = NetworkBuilder()
        image = b.axis("image", 3, pinned="network input")
        stem = b.axis("stem", 16)
        b.weight("conv.weight", output=stem, input=image)
        b.bias("conv.bias", stem)
        EquiNorm(model, optimizer, network=b.build())
    """

    def __init__(self):
        self._axes: List[_Axis] = []
        self._starts: List[int] = []
        self._names = {}
        self._parent: List[int] = []
        self._ties: List[Tuple[Channels, Channels]] = []
        self._pins: List[Tuple[Channels, str]] = []
        self._uses: List[Use] = []
        self._first: Dict[str, Use] = {}
        self.notes: List[str] = []

    def axis(self, name: str, channels: int, pinned: Optional[str] = None) -> Channels:
        """New channels; `pinned` says why they must not be rescaled."""
        seen = self._names[name] = self._names.get(name, 0) + 1
        while seen > 1 and f"{name} #{seen}" in self._names:
            seen = self._names[name] = seen + 1
        unique = name if seen == 1 else f"{name} #{seen}"
        self._names.setdefault(unique, 1)
        start = len(self._parent)
        self._axes.append(_Axis(unique, start, channels))
        self._starts.append(start)
        self._parent.extend(range(start, start + channels))
        made = tuple(range(start, start + channels))
        if pinned is not None:
            self.pin(made, pinned)
        return made

    def pin(self, channels: Channels, reason: str) -> None:
        """Keeps the factors of these channels at 1, for this reason."""
        if channels and (channels, reason) not in self._pins[-4:]:
            self._pins.append((channels, reason))

    def tie(self, a: Channels, b: Channels) -> None:
        """Makes channel c of both share one factor."""
        if len(a) != len(b):
            raise InvalidNetworkError(f"cannot tie {len(a)} channels to {len(b)}")
        merged = False
        for x, y in zip(a, b):
            merged |= self._merge(x, y)
        if merged:
            self._ties.append((a, b))

    def weight(self, name, output, input, order="output-input", groups=1, height=None, **declared) -> None:
        """A weight of shape [outputs, inputs / groups, kernel...], or [inputs, outputs / groups, kernel...] with order "input-output"."""
        self._use(Use(name, WEIGHT, tuple(output), tuple(input), order, groups, height, declared))

    def diagonal(self, name, output, input, height=None, **declared) -> None:
        """One number for each channel, from input channel c to output channel c: the gain of a normalisation."""
        self._use(Use(name, DIAGONAL, tuple(output), tuple(input), height=height, declared=declared))

    def bias(self, name, output, height=None, **declared) -> None:
        """One number for each channel, without an input."""
        self._use(Use(name, BIAS, tuple(output), height=height, declared=declared))

    def build(self) -> "Network":
        """The network as declared so far."""
        return Network(self)

    def _use(self, use: Use) -> None:
        # One tensor used twice needs the same factors at each use: what it writes is tied to what it writes, what it reads likewise.
        # Whoever reads the description does that again; here it serves `groups`.
        other = self._first.setdefault(use.name, use)
        if other is not use:
            if (other.kind, other.order, other.groups, len(other.output), len(other.input)) == (
                use.kind, use.order, use.groups, len(use.output), len(use.input)
            ):
                for x, y in zip(other.output + other.input, use.output + use.input):
                    self._merge(x, y)
            else:
                for channels in (other.output, other.input, use.output, use.input):
                    self.pin(channels, f"tensor {use.name} is used in two ways that cannot share factors")
        self._uses.append(use)

    def _find(self, channel: int) -> int:
        parent = self._parent
        root = channel
        while parent[root] != root:
            root = parent[root]
        while parent[channel] != root:
            parent[channel], channel = root, parent[channel]
        return root

    def _merge(self, a: int, b: int) -> bool:
        a, b = self._find(a), self._find(b)
        if a != b:
            # The older channel stays the root, so that groups keep network order.
            self._parent[max(a, b)] = min(a, b)
        return a != b

    def _runs(self, channels: Channels):
        """Consecutive channels of one axis, as (axis, first, count)."""
        runs = []
        for channel in channels:
            if runs:
                axis, first, count = runs[-1]
                if channel == axis.start + first + count and first + count < axis.count:
                    runs[-1] = (axis, first, count + 1)
                    continue
            axis = self._axes[bisect.bisect_right(self._starts, channel) - 1]
            runs.append((axis, channel - axis.start, 1))
        return runs


class Network:
    """A finished description: `groups`, `pinned`, `notes`, `to_dict`, `to_json`."""

    def __init__(self, builder: NetworkBuilder):
        self._builder = builder
        self._groups = None
        self.uses: Tuple[Use, ...] = tuple(builder._uses)
        self.notes: Tuple[str, ...] = tuple(builder.notes)

    @property
    def names(self) -> Tuple[str, ...]:
        """Names of the parameters, in network order, each once."""
        return tuple(dict.fromkeys(use.name for use in self.uses))

    @property
    def groups(self) -> Tuple[Group, ...]:
        """The channel groups in network order, free and pinned."""
        if self._groups is None:
            self._groups, self._group_of_root = _form_groups(self._builder)
        return self._groups

    @property
    def pinned(self) -> Tuple[Group, ...]:
        """The groups whose factors stay 1; each says why."""
        return tuple(group for group in self.groups if group.reasons)

    @property
    def touched(self) -> frozenset:
        """Names of the parameters that a step may write: those with a free channel."""
        groups = self.groups
        find = self._builder._find
        return frozenset(
            use.name
            for use in self.uses
            if any(not groups[self._group_of_root[find(c)]].reasons for c in use.output + use.input)
        )

    def to_dict(self, parameters=None) -> dict:
        """The description in the JSON form. `parameters` (name -> tensor) gives types, shapes and strides where they are not declared."""
        b = self._builder
        pins, partial = {}, []
        for channels, reason in b._pins:
            for axis, first, count in b._runs(channels):
                if count == axis.count:
                    pins.setdefault(axis.name, reason)
                else:
                    partial.append((axis, first, count, reason))
        axes = []
        for axis in b._axes:
            entry = {"name": axis.name, "channels": axis.count}
            if axis.name in pins:
                entry["pinned"] = pins[axis.name]
            axes.append(entry)
        ties = [[_reference(b, x), _reference(b, y)] for x, y in b._ties]
        seen = set()
        for axis, first, count, reason in partial:
            # Parts of an axis are pinned by tying them to pinned channels.
            if axis.name in pins or (axis.name, first, count) in seen:
                continue
            seen.add((axis.name, first, count))
            name = f"pinned part {len(seen)}"
            axes.append({"name": name, "channels": count, "pinned": reason})
            ties.append([name, [{"axis": axis.name, "start": first, "count": count}]])
        weights = [_weight_entry(b, use, (parameters or {}).get(use.name)) for use in self.uses]
        description = {"format": "equinorm-network", "version": 1, "axes": axes, "weights": weights}
        if ties:
            description["ties"] = ties
        return description

    def to_json(self, parameters=None) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(parameters))

    def __repr__(self):
        free = sum(group.channels for group in self.groups if not group.reasons)
        return f"<equinorm.Network: {len(self.names)} parameters, {len(self.groups)} groups, {len(self.pinned)} of them pinned, {free} free channels>"

    @staticmethod
    def from_dict(description: dict) -> "Network":
        """Reads the JSON form. Checks what reading needs; the native library checks the rest."""
        if not isinstance(description, dict) or description.get("format") != "equinorm-network":
            raise InvalidNetworkError('a description begins with "format": "equinorm-network"')
        if description.get("version") != 1:
            raise InvalidNetworkError(f"version {description.get('version')!r} of the description is not known; this package knows 1")
        b = NetworkBuilder()
        axes = {}
        for axis in description.get("axes", []):
            if axis["name"] in axes:
                raise InvalidNetworkError(f"axis {axis['name']!r} is declared twice")
            axes[axis["name"]] = b.axis(axis["name"], axis["channels"], axis.get("pinned"))
        for tie in description.get("ties", []):
            for other in tie[1:]:
                b.tie(_resolve(tie[0], axes), _resolve(other, axes))
        for entry in description.get("weights", []):
            declared = {key: entry[key] for key in ("type", "shape", "strides", "offset") if key in entry}
            b._use(
                Use(
                    entry["name"], entry.get("kind", WEIGHT), _resolve(entry["output"], axes), _resolve(entry.get("input", []), axes),
                    entry.get("order", "output-input"), entry.get("groups", 1), entry.get("height"), declared,
                )
            )
        return b.build()


def _resolve(reference, axes) -> Channels:
    parts = reference if isinstance(reference, list) else [reference]
    channels = ()
    for part in parts:
        name = part if isinstance(part, str) else part.get("axis")
        if name not in axes:
            raise InvalidNetworkError(f"axis {name!r} does not exist")
        whole = axes[name]
        if isinstance(part, str):
            channels += whole
            continue
        start, count = part.get("start", 0), part.get("count", len(whole))
        if start < 0 or count < 0 or start + count > len(whole):
            raise InvalidNetworkError(f"channels {start} to {start + count} of axis {name!r}, which has {len(whole)}")
        channels += whole[start : start + count]
    return channels


def _reference(builder: NetworkBuilder, channels: Channels):
    parts = [
        axis.name if count == axis.count else {"axis": axis.name, "start": first, "count": count}
        for axis, first, count in builder._runs(channels)
    ]
    return parts[0] if len(parts) == 1 and isinstance(parts[0], str) else parts


_TYPES = {"torch.float32": "float32", "torch.float64": "float64", "torch.float16": "float16", "torch.bfloat16": "bfloat16"}


def type_name(tensor) -> Optional[str]:
    """The type's name in the JSON form, or None for one that cannot be rescaled."""
    return _TYPES.get(str(tensor.dtype))


def _weight_entry(builder: NetworkBuilder, use: Use, tensor) -> dict:
    entry = {"name": use.name}
    if tensor is not None:
        entry["type"] = type_name(tensor) or str(tensor.dtype)
        entry["shape"] = list(tensor.shape)
        if not tensor.is_contiguous():
            entry["strides"] = list(tensor.stride())
    entry.update(use.declared)
    if use.kind != WEIGHT:
        entry["kind"] = use.kind
    if use.order != "output-input":
        entry["order"] = use.order
    if use.groups != 1:
        entry["groups"] = use.groups
    entry["output"] = _reference(builder, use.output)
    if use.kind != BIAS:
        entry["input"] = _reference(builder, use.input)
    if use.height is not None:
        entry["height"] = use.height
    return entry


def _form_groups(b: NetworkBuilder):
    find = b._find
    reasons: Dict[int, Dict[str, None]] = {}
    for channels, reason in b._pins:
        for channel in channels:
            reasons.setdefault(find(channel), {}).setdefault(reason)
    axes_of: Dict[int, set] = {}
    for index, axis in enumerate(b._axes):
        for channel in range(axis.start, axis.start + axis.count):
            axes_of.setdefault(find(channel), set()).add(index)
    # Channels that were merged from the same axes for the same reasons form one group.
    keys, group_of_root, counts = {}, {}, []
    for root in sorted(axes_of):
        key = (frozenset(axes_of[root]), tuple(reasons.get(root, ())))
        group = keys.setdefault(key, len(keys))
        group_of_root[root] = group
        if group == len(counts):
            counts.append(0)
        counts[group] += 1
    sources = [{} for _ in counts]
    sinks = [{} for _ in counts]
    for use in b._uses:
        for channel in use.output:
            sources[group_of_root[find(channel)]].setdefault(use.name)
        for channel in use.input:
            sinks[group_of_root[find(channel)]].setdefault(use.name)
    groups, used = [], {}
    for (axes, why), index in keys.items():
        name = b._axes[min(axes)].name
        seen = used[name] = used.get(name, 0) + 1
        groups.append(
            Group(name if seen == 1 else f"{name} #{seen}", counts[index], tuple(sources[index]), tuple(sinks[index]), why)
        )
    return tuple(groups), group_of_root
