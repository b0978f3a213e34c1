"""Compiling once per shape, knowing what it cost, and forgetting before the process is full."""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

_COMPILED: dict[Any, Callable] = {}

_MAPS, _MOST_MAPS = Path('/proc/self/maps'), Path('/proc/sys/vm/max_map_count')  # of Linux


def memory_bytes(executable: Any) -> float:
  """What an executable needs on a device: arguments, results and all between; 0 if unknown."""
  needs = executable.memory_analysis()
  names = ('argument_size_in_bytes', 'output_size_in_bytes', 'temp_size_in_bytes')
  return float(sum(getattr(needs, name, 0) for name in names))


def compile_once(function: Any, *args: Any, **static: Any) -> tuple[Callable, float]:
  """The executable of a jitted function for arguments of these shapes and types.

  `function(*args, **static)` would compile too, but would not tell computing from
  compiling, which on small machines takes as long.

  Args:
    function: made by `jax.jit`.
    *args: pytrees of arrays, as the executable is going to be called with.
    **static: the static arguments.

  Returns:
    The executable, to be called with such `args` alone, and the seconds spent here: 0 if
    it was there already.
  """
  leaves, structure = jax.tree.flatten(args)
  shapes = tuple((leaf.aval, leaf.sharding) for leaf in leaves)
  signature = (function, structure, shapes, tuple(sorted(static.items())))
  if signature in _COMPILED:
    return _COMPILED[signature], 0.0
  forget_if_full()
  start = time.perf_counter()
  _COMPILED[signature] = function.lower(*args, **static).compile()
  return _COMPILED[signature], time.perf_counter() - start


def forget_if_full() -> None:
  """Forgets all executables where the process has mapped half of what Linux lets it.

  XLA maps each kernel of an executable into memory by itself, some hundred pieces for a
  stage of a trial, and Linux permits 65,530 of them. The next one ends the process with a
  segmentation fault, in the middle of a sweep over many shapes. What is wanted again comes
  from the persistent cache, where there is one.
  """
  known = _MAPS.exists() and _MOST_MAPS.exists()
  if known and _count_maps() > int(_MOST_MAPS.read_text(encoding='ascii')) / 2:
    _COMPILED.clear()
    jax.clear_caches()
    gc.collect()  # cycles hold executables, too


def _count_maps() -> int:
  with _MAPS.open('rb') as lines:
    return sum(1 for _ in lines)
