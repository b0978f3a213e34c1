"""Options of XLA by which a program that runs seldom is compiled in half of the time."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

_LEVEL, _FUSED = 'xla_backend_optimization_level', 'xla_cpu_use_fusion_emitters'


@functools.cache
def quick_options(backend: str, *, level: int = 1) -> dict[str, Any]:
  """Options of a quick compilation for a kind of device: none but for a CPU.

  Machine code is made at a low level of optimisation, without a kernel for each group of
  operations. A later XLA may know an option no more, so that each is tried.
  """
  wanted = ((_LEVEL, level), (_FUSED, False)) if backend == 'cpu' else ()
  return {name: value for name, value in wanted if _knows(name, value)}


@functools.cache
def _knows(name: str, value: Any) -> bool:
  """Tests whether XLA knows an option, by a program that compiles in no time."""
  try:
    jax.jit(jnp.negative).lower(0.0).compile({name: value})
  except jax.errors.JaxRuntimeError:
    return False
  return True
