"""Compilation once per shape, timed, with executables dropped before the process is full."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_COMPILED: dict[Any, Callable] = {}

# Linux's list of this process's memory mappings, and the limit on their number.
_MAPS, _MAX_MAPS = Path('/proc/self/maps'), Path('/proc/sys/vm/max_map_count')


class TooLarge(MemoryError):
  """A program that needs more memory than its device has.

  Attributes:
    needs: bytes of its arguments, results and temporaries, as XLA has planned them.
    has: bytes of the device's memory that JAX may use.
  """

  def __init__(self, needs: float, has: float):
    super().__init__(f'needs {needs / 2**30:,.1f} GiB, and the device has {has / 2**30:,.1f}')
    self.needs, self.has = needs, has


def device_memory() -> int | None:
  """The bytes that JAX may use of a device; None where it does not say, as on a CPU."""
  return (jax.local_devices()[0].memory_stats() or {}).get('bytes_limit')


def check_fits(executable: Any) -> None:
  """Refuses an executable that its device could only fail at.

  Raises:
    TooLarge: if it needs more than the device says that it has.
  """
  needs, has = memory_bytes(executable), device_memory()
  if has is not None and needs > has:
    raise TooLarge(needs, has)


def memory_bytes(executable: Any) -> float:
  """The memory that an executable needs on a device, in bytes; 0 if it is unknown.

  Arguments, results and all temporaries are included.
  """
  analysis = executable.memory_analysis()
  names = ('argument_size_in_bytes', 'output_size_in_bytes', 'temp_size_in_bytes')
  return float(sum(getattr(analysis, name, 0) for name in names))


def compile_once(function: Any, *args: Any, **static: Any) -> tuple[Callable, float]:
  """The executable of a jitted function for arguments of these shapes and types.

  `function(*args, **static)` would compile, too, but its time would mix computation with
  compilation, which takes as long on small machines.

  Args:
    function: a function made by `jax.jit`.
    *args: pytrees of arrays of the shapes and types that the executable will be called with.
    **static: the static arguments.

  Returns:
    The executable, to be called with such `args` alone, and the seconds of compilation: 0 if
    the executable existed already.

  Raises:
    TooLarge: if the device says how much memory it has, and the executable needs more.
  """
  leaves, structure = jax.tree.flatten(args)
  shapes = tuple((leaf.aval, leaf.sharding) for leaf in leaves)
  signature = (function, structure, shapes, tuple(sorted(static.items())))
  if signature in _COMPILED:
    return _COMPILED[signature], 0.0
  forget_if_full()
  start = time.perf_counter()
  executable = function.lower(*args, **static).compile()
  check_fits(executable)
  _COMPILED[signature] = executable
  return executable, time.perf_counter() - start


def forget_if_full() -> None:
  """Drops all executables once the process has half of the mappings that Linux permits.

  XLA maps each kernel of an executable into memory separately, about a hundred for a stage of
  a trial, and Linux permits 65,530 mappings. One more ends the process with a segmentation
  fault, in the middle of a sweep over many shapes. An executable that is needed again comes
  from the persistent cache, if there is one.
  """
  is_linux = _MAPS.exists() and _MAX_MAPS.exists()
  if is_linux and _count_maps() > int(_MAX_MAPS.read_text(encoding='ascii')) / 2:
    _COMPILED.clear()
    jax.clear_caches()
    gc.collect()  # reference cycles hold executables, too


def _count_maps() -> int:
  with _MAPS.open('rb') as lines:
    return sum(1 for _ in lines)
