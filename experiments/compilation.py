"""Compiling once per shape, and knowing what it cost."""

import time
from collections.abc import Callable
from typing import Any

import jax

_COMPILED: dict[Any, Callable] = {}


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
  start = time.perf_counter()
  _COMPILED[signature] = function.lower(*args, **static).compile()
  return _COMPILED[signature], time.perf_counter() - start
