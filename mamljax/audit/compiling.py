"""Compilation: quicker, for programs that run a few hundred times, and the time that it takes.

JAX reports each trace, lowering and compilation when it ends, with its length. A function that
is traced within another is reported twice, so that lengths do not add up: the spans are joined.
"""

import functools
import inspect
import time
from collections.abc import Callable
from typing import Any

import jax

from mamljax.compiler import quick_options

# Makes the executable of a jitted function for its arguments, and says the seconds it took.
Compile = Callable[..., tuple[Callable[..., Any], float]]


def as_needed(
  function: Callable[..., Any], *arguments: Any, **static: Any
) -> tuple[Callable[..., Any], float]:
  """A jitted function itself, which compiles when it is called."""
  del arguments
  return functools.partial(function, **static), 0.0


def quickly(
  function: Callable[..., Any], *arguments: Any, **static: Any
) -> tuple[Callable[..., Any], float]:
  """A jitted function that compiles when it is called, on a CPU in half of the time.

  What it computes is the same to rounding. Closed-form attacks run as fast; what takes long,
  such as a reconstruction, up to half as long again.
  """
  del arguments
  return _quick(function, tuple(sorted(static.items())), jax.default_backend()), 0.0


@functools.cache
def _quick(
  function: Callable[..., Any], static: tuple[tuple[str, Any], ...], backend: str
) -> Callable[..., Any]:
  """The function under a `jax.jit`, with its static arguments, jitted once more."""
  under: Any = inspect.unwrap(function)
  inner = functools.update_wrapper(functools.partial(under, **dict(static)), under)
  return jax.jit(inner, compiler_options=quick_options(backend))


_STAGES = ('jaxpr_trace_duration', 'jaxpr_to_mlir_module_duration', 'backend_compile_duration')


class _Spans:
  """Spans of time that may hold others, which end before them."""

  def __init__(self):
    self._spans: list[tuple[float, float]] = []  # (start, length), none of which holds another

  def add(self, length: float) -> None:
    """Adds a span that ends now, in the place of those within it."""
    start = time.perf_counter() - length
    while self._spans and self._spans[-1][0] >= start:
      self._spans.pop()
    self._spans.append((start, length))

  def total(self) -> float:
    """Sum of the lengths."""
    return sum(length for _, length in self._spans)


_spans = _Spans()


def seconds() -> float:
  """Seconds spent so far: a difference of two is that of the time between."""
  return _spans.total()


def _heard(event: str, duration_secs: float, **more: Any) -> None:
  del more
  if event.endswith(_STAGES):
    _spans.add(duration_secs)


jax.monitoring.register_event_duration_secs_listener(_heard)
