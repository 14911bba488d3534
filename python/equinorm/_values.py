"""What a recorded value is to equi-normalization: an activation with channels, something that is not rescaled, a parameter, a size.

Dimensions are counted from the end (-1 is the last): a convolution of n dimensions has its channels at -(n + 1), with or without a batch.
"""

from dataclasses import dataclass, replace
from typing import Optional, Tuple

import torch


class Size:
    """An extent that is not known. Two activations that share the object share the extent."""


@dataclass(frozen=True)
class Activation:
    """Channels at dimension `dims[0]`; `positions` of each side by side after a flatten (None: unknown how many).

    A view may split the channels over several dimensions (a channel shuffle does): then `split` has their extents, `channels` the numbers in
    row-major order.
    """

    channels: Tuple[int, ...]
    dims: Tuple[int, ...]
    sizes: Optional[tuple] = None  # of all dimensions, outermost first: int or Size; None: not even their number is known
    positions: Optional[int] = 1
    split: Optional[Tuple[int, ...]] = None

    @property
    def plain(self) -> bool:
        """One channel dimension with one position for each channel."""
        return len(self.dims) == 1 and self.positions == 1

    @property
    def dim(self) -> int:
        return self.dims[0]

    def with_sizes(self, sizes) -> "Activation":
        return replace(self, sizes=sizes)


@dataclass(frozen=True)
class Fixed:
    """A value that is not rescaled, or not known; `reason` says what it is."""

    reason: str
    sizes: Optional[tuple] = None


@dataclass(frozen=True)
class Param:
    """A parameter of the model, read by its name."""

    name: str
    tensor: torch.Tensor


def index_of(dim: int, rank: int) -> int:
    """A dimension counted from the end."""
    return dim - rank if dim >= 0 else dim


def reshape(x, wanted):
    """The activation (or Fixed) seen with other extents, or None where that is not certain to keep channels apart.

    Works on the extents that are known, from both ends: a batch must be seen to stay a batch.
    """
    old = list(x.sizes)
    wanted = list(wanted)
    if not all(isinstance(s, (int, Size)) for s in wanted) or wanted.count(-1) > 1:
        return None
    rank = len(old)
    at = {}
    if isinstance(x, Activation):
        extents = x.split or (len(x.channels),)
        at = {rank + d: e for d, e in zip(x.dims, extents)}
    pairs = _match(old, wanted, at)
    if pairs is None:
        return None
    sizes, dims, split, positions = [], [], [], x.positions if at else 1
    new_rank = len(wanted)
    for olds, news in pairs:
        chans = [i for i in olds if i in at]
        extent = _product([old[i] for i in olds])
        if not chans:
            sizes += _resolved([wanted[j] for j in news], extent)
            continue
        if len(news) == 1:
            # Merge: all channel dimensions first, then positions, as a flatten of [channels, positions] leaves them.
            if olds[: len(chans)] != chans or not _may_equal(extent, wanted[news[0]]):
                return None
            if len(olds) > len(chans):
                if positions != 1:
                    return None
                rest = _product([old[i] for i in olds[len(chans) :]])
                total, each = wanted[news[0]], _product([at[i] for i in chans])
                if not isinstance(rest, int) and isinstance(total, int) and total > 0 and total % each == 0:
                    rest = total // each
                positions = rest if isinstance(rest, int) else None
            dims.append(news[0] - new_rank)
            split.append(_product([at[i] for i in chans]))
            sizes.append(extent)
        elif len(olds) == 1 and positions == 1:
            parts = _resolved([wanted[j] for j in news], at[olds[0]])
            if not all(isinstance(s, int) for s in parts) or _product(parts) != at[olds[0]]:
                return None
            dims += [j - new_rank for j in news]
            split += parts
            sizes += parts
        else:
            return None
    if not at:
        return replace(x, sizes=tuple(sizes))
    return Activation(x.channels, tuple(dims), tuple(sizes), positions, tuple(split) if len(split) > 1 else None)


def permute(x, order):
    """Dimensions in another order; `order` counts from 0."""
    rank = len(x.sizes)
    sizes = tuple(x.sizes[i] for i in order)
    if isinstance(x, Fixed):
        return replace(x, sizes=sizes)
    place = {rank + d: k for k, d in enumerate(x.dims)}
    axes = [place[i] for i in order if i in place]
    dims = tuple(k - rank for k, i in enumerate(order) if i in place)
    channels = x.channels
    split = x.split
    if split:
        channels = tuple(torch.tensor(channels, device="cpu").reshape(split).permute(axes).reshape(-1).tolist())
        split = tuple(split[a] for a in axes)
    return replace(x, channels=channels, dims=dims, sizes=sizes, split=split)


def _match(old, new, at):
    """Groups of dimensions that become groups of dimensions: a list of (old indices, new indices), or None."""
    ones = [i for i, s in enumerate(old) if s == 1 and i not in at]
    left = [i for i in range(len(old)) if i not in ones]
    head, tail = [], []
    j, k = 0, len(new)

    def same(i, n):
        return old[i] is new[n] or (isinstance(old[i], int) and old[i] == new[n])

    while left and j < k and same(left[0], j):
        head.append(([left.pop(0)], [j]))
        j += 1
    while left and j < k and same(left[-1], k - 1):
        k -= 1
        tail.insert(0, ([left.pop()], [k]))
    middle = list(range(j, k))
    while middle and new[middle[0]] == 1:
        head.append(([], [middle.pop(0)]))
    trailing = []
    while middle and new[middle[-1]] == 1:
        trailing.insert(0, ([], [middle.pop()]))
    inner = _match_middle(old, new, left, middle)
    return None if inner is None else head + inner + trailing + tail


def _match_middle(old, new, left, middle):
    if not left and not middle:
        return []
    if not left and len(middle) == 1 and new[middle[0]] == -1:
        return [([], middle)]
    if not left or not middle:
        return None
    if len(middle) == 1:
        return [(left, middle)]
    if len(left) == 1:
        return [(left, middle)]
    known = [s for s in (old[i] for i in left) if isinstance(s, int)]
    if new[middle[0]] == -1 and isinstance(old[left[0]], Size):
        rest = [new[j] for j in middle[1:]]
        if len(known) == len(left) - 1 and all(isinstance(s, int) for s in rest) and _product(known) == _product(rest):
            inner = _match_middle(old, new, left[1:], middle[1:])
            return None if inner is None else [([left[0]], [middle[0]])] + inner
        return None
    if len(known) != len(left) or not all(isinstance(new[j], int) for j in middle):
        return None
    values = _resolved([new[j] for j in middle], _product(known))
    groups, i, j = [], 0, 0
    while i < len(left) or j < len(middle):
        if i == len(left) or j == len(middle):
            return None
        olds, news = [left[i]], [middle[j]]
        a, b = old[left[i]], values[j]
        i, j = i + 1, j + 1
        while a != b:
            if a < b:
                if i == len(left):
                    return None
                a *= old[left[i]]
                olds.append(left[i])
                i += 1
            else:
                if j == len(middle):
                    return None
                b *= values[j]
                news.append(middle[j])
                j += 1
        groups.append((olds, news))
    return groups


def _may_equal(extent, wanted):
    return wanted == -1 or not isinstance(extent, int) or not isinstance(wanted, int) or extent == wanted


def _product(sizes):
    total = 1
    for s in sizes:
        if not isinstance(s, int):
            return sizes[0] if len(sizes) == 1 else Size()
        total *= s
    return total


def _resolved(sizes, extent):
    """Replaces -1 by what is left of the extent."""
    if -1 not in sizes:
        return sizes
    rest = _product([s for s in sizes if s != -1]) if len(sizes) > 1 else 1
    if isinstance(extent, int) and isinstance(rest, int) and rest > 0 and extent % rest == 0:
        missing = extent // rest
    else:
        missing = extent if len(sizes) == 1 else Size()
    return [missing if s == -1 else s for s in sizes]
