"""Compilation and timing of one program, with its arithmetic and its memory."""

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from experiments.benchmarking.flops import count_flops
from experiments.process.compilation import check_fits, memory_bytes

MOST_REPEATS = 20


class Program(NamedTuple):
  """A compiled program, and what is known of it before it runs.

  Attributes:
    run: the executable, a `jax.stages.Compiled`.
    flops: operations in matrix products and convolutions, loops included, by the jaxpr.
    seconds: time of tracing and compilation.
  """

  run: Any
  flops: int
  seconds: float


class Compiler:
  """A `mamljax.audit.compiling.Compile` that keeps what it compiled.

  Attributes:
    programs: the last program of each function.
  """

  def __init__(self):
    self.programs: dict[Any, Program] = {}

  def __call__(self, function: Any, *arguments: Any, **static: Any) -> tuple[Any, float]:
    """The executable of a jitted function, and the seconds of its compilation."""
    self.programs[function] = made = compile_program(function, *arguments, **static)
    return made.run, made.seconds


def compile_program(function: Any, *arguments: Any, **static: Any) -> Program:
  """Compiles a jitted function.

  Raises:
    TooLarge: if the device says how much memory it has, and the program needs more.
  """
  start = time.perf_counter()
  traced = function.trace(*arguments, **static)
  run = traced.lower().compile()
  seconds = time.perf_counter() - start
  check_fits(run)
  return Program(run, count_flops(traced.jaxpr).products, seconds)


def device_bytes(name: str) -> int | None:
  """A figure of the device's own account of its memory; None where it keeps none."""
  return (jax.devices()[0].memory_stats() or {}).get(name)


def time_runs(run: Callable[[], Any], seconds: float) -> dict[str, Any]:
  """Columns of a timed function: a run to warm up, then as many as fit the time, at least one.

  Args:
    run: the function, which returns arrays.
    seconds: the time for all runs.
  """
  end, found = time.perf_counter() + seconds, list[float]()
  jax.block_until_ready(run())
  while len(found) < MOST_REPEATS and (not found or time.perf_counter() + found[-1] < end):
    start = time.perf_counter()
    jax.block_until_ready(run())
    found.append(time.perf_counter() - start)
  spread = max(found) - min(found)
  return {'seconds': statistics.median(found), 'spread': spread, 'repeats': len(found)}


def told(program: Program) -> dict[str, Any]:
  """Columns of a program that need no run.

  XLA counts the body of a loop once: `loop_flops` and `loop_bytes` are of one turn of each.
  """
  costs = program.run.cost_analysis() or {}
  return {
    'compile_seconds': program.seconds,
    'flops': program.flops,
    'loop_flops': costs.get('flops'),
    'loop_bytes': costs.get('bytes accessed'),
    'program_bytes': memory_bytes(program.run),
  }
