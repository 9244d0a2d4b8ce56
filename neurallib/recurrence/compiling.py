"""How the kernels are compiled: for which processor, with which options, and the files that keep what was compiled.

All that is said to Numba beyond its documented decorators is said here.
"""
# mypy: disable-error-code="no-untyped-def,no-untyped-call"

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import llvmlite.binding
import numba
from numba import njit

from neurallib.progress import tell
from neurallib.recurrence import ahead
from neurallib.warn import warn

# fastmath without nnan and ninf: NaN and infinity must come out as they do in torch
_OPTIONS: dict[str, Any] = {
    "nogil": True, "error_model": "numpy", "fastmath": {"contract", "reassoc", "arcp", "nsz"},
}  # fmt: skip
# What kernels call is not called from Python, and would take a quarter longer to compile with the ways to do so.
_OUTERMOST = _OPTIONS | {"no_cfunc_wrapper": True}
_INNER = _OUTERMOST | {"no_cpython_wrapper": True}
compiled: Any = njit(**_INNER)
inlined: Any = njit(inline="always", **_INNER)  # quicker to compile for one or two calls
_outermost: Any = njit(**_OUTERMOST)

_COMPILING = "compiling kernels (once)"
_ABANDONED = 3600  # seconds after which a file half written is nobody's


def _nothing() -> None: ...


def _target() -> tuple[str, str, str]:
    """Platform, processor and features that Numba compiles for: NUMBA_CPU_NAME and the like may name others than the
    machine's."""
    try:
        platform, processor, features = compiled(_nothing).targetctx.codegen().magic_tuple()
    except (AttributeError, ValueError):  # of another Numba; read off what it documents
        platform, told = llvmlite.binding.get_process_triple(), vars(numba.config)
        processor = told.get("CPU_NAME") or llvmlite.binding.get_host_cpu_name()
        features = told.get("CPU_FEATURES")
        features = llvmlite.binding.get_host_cpu_features().flatten() if features is None else features
    return platform, processor, features


_TARGET = _target()
_HAS = set(_TARGET[2].split(","))
LANES = 16 if "+avx512f" in _HAS else 8 if _HAS & {"+avx", "+avx2"} else 4  # of a vector of float32
# A tile's sums live in registers: 8 rows of 3 vectors need 32 of them, 4 rows of 3 vectors need 16.
TALL = 8 if "+avx512f" in _HAS or _TARGET[0].startswith(("arm64", "aarch64")) else 4

_SWITCHES = [getattr(numba.config, name, None) for name in ("OPT", "LOOP_VECTORIZE", "SLP_VECTORIZE", "BOUNDSCHECK")]
_BUILD = repr((_TARGET, LANES, TALL, _SWITCHES, numba.__version__, llvmlite.__version__, sys.version_info[:2]))
_SOURCES = ("compiling.py", "vectors.py", "products.py", "kernel.py")


def kept(function: Callable[..., Any]) -> Any:
    """Compiled, and kept on disk for the next process, with all it calls: for what is called from Python."""
    dispatcher, slow = _outermost(function), "kernels are compiled anew in every process, which takes seconds"
    try:
        files, _ = _Files(function), dispatcher._cache
    except RuntimeError:
        _warn_once(
            f"Numba finds no folder for its cache: {slow}. Set NUMBA_CACHE_DIR to a folder that can be written."
        )
    except (ImportError, AttributeError, OSError) as error:  # another Numba, or no source files
        _warn_once(f"Numba {numba.__version__} cannot keep kernels ({error}): {slow}.")
    else:
        dispatcher._cache = files
    return dispatcher


class _Files:
    """What Numba asks of a function's cache, with files that can be neither mistaken nor half written.

    A file is named by all that the compiler was told, tells what it was compiled from, has a checksum and appears
    whole. Numba's own knows a function's source file alone, and writes its index before what that points at.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        from numba.core import caching, serialize

        self._results, self._dumps = caching.CompileResultCacheImpl(function), serialize.dumps
        self.cache_path = self._results.locator.get_cache_path()
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__name__}"
        self._source = _source()

    def load_overload(self, signature, context):
        if self._name == "kernel.backward":
            ahead.wait()
        result = self._read(signature, context)
        if result is None:
            tell(_COMPILING)
            if self._name == "kernel.forward":
                ahead.begin()
        return result

    def _read(self, signature, context):
        try:
            found = self._path(signature).read_bytes()
        except OSError:
            return None
        try:
            checksum, source, result = found[:32], found[32:64], found[64:]
            if hashlib.sha256(source + result).digest() != checksum:
                raise ValueError("cut off or changed")
            if source != self._source:  # of other code, and soon replaced
                return None
            context.refresh()
            return self._results.rebuild(context, pickle.loads(result))
        except Exception:
            _warn_once(f"Kernels in {self.cache_path} are damaged: they are compiled anew, which takes seconds.")
            return None

    def save_overload(self, signature, result):
        tell("")
        path = self._path(signature)
        temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            if self._results.check_cachable(result):
                content = self._source + self._dumps(self._results.reduce(result))
                path.parent.mkdir(parents=True, exist_ok=True)
                temporary.write_bytes(hashlib.sha256(content).digest() + content)
                os.replace(temporary, path)
                self._sweep()
        except Exception as error:  # what was compiled is good all the same
            _warn_once(f"Kernels cannot be kept in {self.cache_path}: the next process compiles them anew ({error}).")
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def flush(self):
        """Called before Numba compiles all signatures anew, which nothing here asks for."""

    def _sweep(self):
        """Remove what processes that were killed while they wrote have left."""
        for path in Path(self.cache_path).glob("*.nbc.*.tmp"):
            with contextlib.suppress(OSError):  # another process was quicker
                if time.time() - path.stat().st_mtime > _ABANDONED:
                    path.unlink()

    def _path(self, signature) -> Path:
        key = hashlib.sha256(f"{_BUILD} {signature}".encode()).hexdigest()[:16]
        return Path(self.cache_path, f"{self._name}-{key}.nbc")


@functools.cache
def _source() -> bytes:
    """SHA-256 of the code that ends up in a kernel, whatever file it stands in."""
    folder = Path(__file__).parent
    return hashlib.sha256(b"".join((folder / name).read_bytes() for name in _SOURCES)).digest()


@functools.cache
def _warn_once(message: str) -> None:
    warn(message)
