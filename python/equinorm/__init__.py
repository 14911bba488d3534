"""Equi-normalization for PyTorch: keeps a network's channels balanced while it is trained, without changing its function.

    enorm = equinorm.EquiNorm(model, optimizer)
    ... optimizer.step(); enorm.step()

`describe(model)` says which channels can be rescaled and why the others cannot; it needs no native library.
"""

from ._binding import Companion
from ._equinorm import EquiNorm, SolveResult, StepReport
from ._errors import *  # noqa: F403
from ._errors import EquiNormError
from ._graph import describe
from ._network import Group, Network, NetworkBuilder

__version__ = "0.1.0"
