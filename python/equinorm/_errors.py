"""Exceptions of this package. One for each status of the C interface, and a few that arise before it is reached.

All derive from EquiNormError; where Python has a class for the same kind of mistake, they derive from that, too.
"""


class EquiNormError(Exception):
    """Base of all errors of this package."""


class LibraryNotFoundError(EquiNormError, ImportError):
    """libequinorm is nowhere to be found, or is not the one this package was written for."""


class TraceError(EquiNormError):
    """The model cannot be followed from its inputs to its outputs."""


class UnknownStateError(EquiNormError, ValueError):
    """The optimizer keeps tensors of which this package does not know how they move with a parameter."""


class InvalidArgumentError(EquiNormError, ValueError):
    """EN_INVALID_ARGUMENT"""


class InvalidNetworkError(EquiNormError, ValueError):
    """EN_INVALID_NETWORK: the description of the network; the text names the place."""


class UnknownTensorError(EquiNormError, LookupError):
    """EN_UNKNOWN_TENSOR: no weight of that name."""


class WrongTypeError(EquiNormError, TypeError):
    """EN_WRONG_TYPE: the element type differs from the declared one, or is none that can be rescaled."""


class WrongShapeError(EquiNormError, ValueError):
    """EN_WRONG_SHAPE: shape or strides differ from the declared ones, or overlap."""


class WrongDeviceError(EquiNormError, ValueError):
    """EN_WRONG_DEVICE: a tensor is not where the others are."""


class NotBoundError(EquiNormError, RuntimeError):
    """EN_NOT_BOUND: a parameter is gone, or its memory is."""


class NonFiniteError(EquiNormError, ArithmeticError):
    """EN_NON_FINITE: a weight holds a NaN or an infinity."""


class OutOfRangeError(EquiNormError, OverflowError):
    """EN_OUT_OF_RANGE: a factor or a magnitude leaves the range of float64 in a step; solve instead."""


class BusyError(EquiNormError, RuntimeError):
    """EN_BUSY: another thread is using the session."""


class OutOfMemoryError(EquiNormError, MemoryError):
    """EN_OUT_OF_MEMORY"""


class CudaUnavailableError(EquiNormError, RuntimeError):
    """EN_CUDA_UNAVAILABLE"""


class CudaError(EquiNormError, RuntimeError):
    """EN_CUDA_ERROR"""


class InternalError(EquiNormError, RuntimeError):
    """EN_INTERNAL: a defect of the library; please report the text."""


BY_STATUS = {
    1: InvalidArgumentError,
    2: InvalidNetworkError,
    3: UnknownTensorError,
    4: WrongTypeError,
    5: WrongShapeError,
    6: WrongDeviceError,
    7: NotBoundError,
    8: NonFiniteError,
    9: OutOfRangeError,
    10: BusyError,
    11: OutOfMemoryError,
    12: CudaUnavailableError,
    13: CudaError,
    14: InternalError,
}
