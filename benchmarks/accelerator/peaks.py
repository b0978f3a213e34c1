"""Peaks of the device: a large matrix product at each precision, and a copy of memory."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_program, time_runs, told
from mamljax.networks import PRECISIONS


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """The product at each precision, and the copy."""
  del sizes
  for precision in PRECISIONS:
    yield Measurement(f'product/{precision}', functools.partial(product, precision))
  yield Measurement('copy', copy)


def product(precision: str, context: Context) -> dict[str, Any]:
  """The product of two square float32 matrices."""
  side = context.sizes.product
  left, right = jax.random.normal(jax.random.key(0), (2, side, side))
  program = compile_program(
    jax.jit(functools.partial(jnp.dot, precision=precision)), left, right
  )
  row = time_runs(functools.partial(program.run, left, right), context.seconds)
  return (
    told(program)
    | row
    | {
      'precision': precision,
      'tflops_per_second': program.flops / row['seconds'] / 1e12,
      'note': f'{side} x {side} x {side}, float32',
    }
  )


def copy(context: Context) -> dict[str, Any]:
  """A copy of an array, which is read once and written once."""
  numbers = jnp.zeros(context.sizes.copied)
  program = compile_program(jax.jit(jnp.copy), numbers)
  row = time_runs(functools.partial(program.run, numbers), context.seconds)
  return (
    told(program)
    | row
    | {
      'gbytes_per_second': 2 * numbers.nbytes / row['seconds'] / 1e9,
      'note': f'{numbers.nbytes / 2**20:g} MiB read and written',
    }
  )


def against(row: dict[str, Any], ledger: Ledger, *, turns: int) -> dict[str, Any]:
  """Columns of a row's arithmetic and memory as shares of the peaks, as far as those are known.

  Args:
    row: the columns of a program that was timed, its precision among them.
    ledger: where the peaks are.
    turns: turns of the loop in which the program spends its time; XLA counts the bytes of one.
  """
  found: dict[str, Any] = {'tflops_per_second': row['flops'] / row['seconds'] / 1e12}
  if row.get('loop_bytes'):
    found['gbytes_per_second'] = turns * row['loop_bytes'] / row['seconds'] / 1e9
  shares = (
    ('of_product', 'tflops_per_second', f'product/{row["precision"]}'),
    ('of_copy', 'gbytes_per_second', 'copy'),
  )
  for share, rate, name in shares:
    peak = next(ledger.find('peaks', name), None)
    if peak and rate in found:
      found[share] = found[rate] / float(peak[rate])
  return found
