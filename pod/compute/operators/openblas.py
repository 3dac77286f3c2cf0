"""OpenBLAS in this process: instructions, blocks and an order of sums that no processor chooses (no
torch).

OpenBLAS picks its kernels by the processor, unless `OPENBLAS_CORETYPE` names them before it is
loaded: those for Haswell need AVX2 and FMA, and their blocks are constants (the sizes of caches
move no bit of theirs; the edges of blocks do, and so the number of threads, which a class fixes).
It is loaded from the package `scipy-openblas64`, since each NumPy brings a build of its own.
"""

from __future__ import annotations

import ctypes
import os
from ctypes import c_char_p, c_double, c_float, c_int, c_int64, c_void_p
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fitchain.pod.values.errors import EnvironmentRefused

PACKAGE = "scipy-openblas64"
ROW_MAJOR, AS_IT_IS, TRANSPOSED = 101, 111, 112
"""Constants of the C interface to BLAS: CBLAS_LAYOUT, CBLAS_TRANSPOSE."""

_NUMBERS = {"s": c_float, "d": c_double}
_LOADED: dict[str, ctypes.CDLL] = {}


def installed_build() -> str:
    """The version of the package that is installed, read without loading it; empty without one."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return ""


def refuse_other_build(build: str) -> None:
    """Refuse another version than the one that is needed.

    Raises:
        EnvironmentRefused: it is missing, or another.
    """
    if (installed := installed_build()) != build:
        raise EnvironmentRefused(
            f"{PACKAGE} here is {installed or 'missing'}, and {build} is needed", "install the extra `kernels`"
        )


def load(build: str, core: str, threads: int) -> None:
    """Load the library for good; `gemm` takes its functions afterwards.

    Args:
        build: the version of the package.
        core: the processor whose kernels compute.
        threads: that compute a product.

    Raises:
        EnvironmentRefused: it is not installed, is another build, or has picked other kernels.
    """
    refuse_other_build(build)
    import scipy_openblas64

    path = Path(scipy_openblas64.get_lib_dir()) / scipy_openblas64.get_library(fullname=True)
    library = ctypes.CDLL(str(path), mode=os.RTLD_LOCAL)
    library.scipy_openblas_get_config64_.restype = library.scipy_openblas_get_corename64_.restype = c_char_p
    config, picked = library.scipy_openblas_get_config64_().decode(), library.scipy_openblas_get_corename64_().decode()
    if f"OpenBLAS {build} " not in config or picked != core:
        raise EnvironmentRefused(
            f"OpenBLAS is `{config}` with kernels for {picked}, and {build} with those for {core} is needed",
            "start the process with the class's variables: they count only when set before it is loaded",
        )
    # By this call, since the variable of that name is cut down to the host's processors.
    library.scipy_openblas_set_num_threads64_(c_int(threads))
    if (count := library.scipy_openblas_get_num_threads64_()) != threads:
        raise EnvironmentRefused(f"OpenBLAS computes with {count} threads, and {threads} are needed")
    _LOADED["library"] = library


def gemm(letter: str, batched: bool = False) -> Any:
    """The function that multiplies matrices.

    Args:
        letter: s for floats, d for doubles.
        batched: as many pairs at once as its last argument says.

    Returns:
        A C function of layout, two transpositions, three sizes, alpha, two matrices, beta and the
        result; a matrix is an address, the distance of its rows and, of a batch, that to the next
        matrix.
    """
    function = getattr(_LOADED["library"], f"scipy_cblas_{letter}gemm{'_batch_strided' if batched else ''}64_")
    number, matrix = _NUMBERS[letter], [c_void_p, c_int64, *([c_int64] if batched else [])]
    function.argtypes = [c_int] * 3 + [c_int64] * 3 + [number, *matrix, *matrix, number, *matrix]
    function.argtypes += [c_int64] if batched else []
    function.restype = None
    return function
