"""Seconds that this process has spent on compiling, tracing included, as JAX reports them.

JAX reports each trace, lowering and compilation when it ends, with its length. A function that
is traced within another is reported twice, so that lengths do not add up: the spans are joined.
"""

import time
from typing import Any

import jax

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
