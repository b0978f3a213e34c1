"""Reconstructions of the query and the support set: forms, chunks and precisions.

The form of convolutions is compared first, then chunks in the faster form, then precisions in
the best chunk, with as many iterations as the paper has and what they cost in AUC.
"""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator import peaks
from benchmarks.accelerator.attacking import Attacked, attack, describe, members
from benchmarks.accelerator.ledger import Ledger
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_program, time_runs, told
from mamljax.audit.metrics import auc_rate
from mamljax.convolution import convolve

FORMS = ('patches', 'xla')
SECTION = 'reconstruction'
ITERATIONS = 100  # that candidates per second are of, whatever was timed


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Single layers, then attacks by size of the set, smallest first."""
  for form in ('patches', 'xla', 'unrolled'):
    yield Measurement(f'layer/{form}', functools.partial(layer, form))
  for task in sizes.tasks:
    for target in sizes.targets:
      yield from _of_one(sizes, target, task)


def _of_one(sizes: Sizes, target: str, task: tuple[int, int]) -> Iterator[Measurement]:
  """Measurements of one set."""
  start, first = f'{target}_{task[0] * task[1]}', sizes.chunks[0]
  for form in FORMS:
    run = functools.partial(timed, target, task, form, first)
    yield Measurement(f'{start}/{form}/{first}', run)
  run = functools.partial(timed, target, task, 'xla', 1)
  yield Measurement(f'{start}/xla one by one/1', run)
  for chunk in sizes.chunks[1:]:
    run = functools.partial(timed, target, task, None, chunk)
    yield Measurement(f'{start}/best form/{chunk}', run)
  for precision in sizes.precisions:
    run = functools.partial(in_full, target, task, precision)
    yield Measurement(f'{start}/in full/{precision}', run)


def timed(
  target: str, task: tuple[int, int], form: str | None, chunk: int, context: Context
) -> dict[str, Any]:
  """A few iterations of one chunk of candidates, or of several one by one."""
  start = f'{target}_{task[0] * task[1]}'
  form = form or best_form(context.ledger, start)
  attacked = reconstruct(context.sizes, target, task, form, chunk=chunk)
  row = time_runs(attacked.run, min(context.seconds, 10))
  return _columns(attacked, row, context, chunk, context.sizes.steps) | {'note': form}


def in_full(
  target: str, task: tuple[int, int], precision: str, context: Context
) -> dict[str, Any]:
  """All iterations at a precision, with the AUC beside that of 'highest' on these trials."""
  start, sizes = f'{target}_{task[0] * task[1]}', context.sizes
  form, best = best_form(context.ledger, start), context.ledger.best(SECTION, f'{start}/')
  chunk = min(int(best['chunk']) if best else sizes.chunks[0], sizes.scored)
  iterations = sizes.iterations
  options: Any = {'iterations': iterations, 'precision': precision}
  units = sizes.scored // chunk * chunk
  attacked = reconstruct(sizes, target, task, form, chunk=chunk, units=units, **options)
  row = time_runs(attacked.run, min(context.seconds, 10))
  scores = np.asarray(attacked.run().scores)
  truth = members(len(scores))
  rate = auc_rate(scores, truth, tasks=np.arange(len(scores)), seed=0)
  found: dict[str, Any] = dict(
    zip(('auc', 'auc_low', 'auc_high'), rate or (None,) * 3, strict=True)
  )
  exact = next(context.ledger.find(SECTION, f'{start}/in full/highest'), None)
  if exact and rate:
    found['auc_change'] = rate.value - float(exact['auc'])
  told_of = {'trials': len(scores), 'networks': 1, 'seed': 0, 'note': form}
  columns = _columns(attacked, row, context, chunk, iterations, precision)
  return columns | found | told_of


def reconstruct(
  sizes: Sizes,
  target: str,
  task: tuple[int, int],
  form: str,
  *,
  chunk: int,
  iterations: int = 0,
  precision: str = 'highest',
  units: int = 0,
) -> Attacked:
  """A compiled reconstruction of so many candidates, by default of one chunk."""
  cell = describe(
    sizes,
    target=target,
    ways=task[0],
    shots=task[1],
    convolution=form,
    matmul_precision=precision,
    **{'reconstruction.iterations': iterations or sizes.steps},
  )
  units = units or (chunk if chunk > 1 else min(sizes.chunks[0], 16))
  return attack(cell, units=units, at_once=chunk)


def best_form(ledger: Ledger, start: str) -> str:
  """The faster form of convolutions; patches where neither ran."""
  found = [row for form in FORMS if (row := ledger.best(SECTION, f'{start}/{form}/'))]
  best = max(found, key=lambda row: float(row['per_second']), default=None)
  return best['note'] if best else 'patches'


def _columns(
  attacked: Attacked,
  row: dict[str, Any],
  context: Context,
  chunk: int,
  iterations: int,
  precision: str = 'highest',
) -> dict[str, Any]:
  """Columns of timed reconstructions."""
  units = len(attacked.ready.arguments[0])
  row = told(attacked.program) | row | {'precision': precision, 'chunk': chunk}
  row |= peaks.against(row, context.ledger, turns=iterations * units // chunk)
  rate = units * iterations / ITERATIONS / row['seconds']
  named = {'units': units, 'unit': f'candidates of {ITERATIONS} iterations'}
  return row | named | {'iterations': iterations, 'per_second': rate}


def layer(form: str, context: Context) -> dict[str, Any]:
  """The gradient in the weights of a convolution of Conv4, for as many sets of five images.

  Each candidate has weights of its own, as under the second derivative of its objective:
  'unrolled' has a `lax.conv` for each, where `vmap` makes one grouped convolution of them.
  """
  count = context.sizes.unrolled
  keys = jax.random.split(jax.random.key(0), 2)
  images = jax.random.normal(keys[0], (count, 5, 14, 14, 32))
  kernels = jax.random.normal(keys[1], (count, 3, 3, 32, 32))

  def loss(kernel: jax.Array, images: jax.Array) -> jax.Array:
    shape = 'patches' if form == 'patches' else 'xla'
    return jnp.square(convolve(images, kernel, stride=2, form=shape)).sum()

  def unrolled(kernels: jax.Array, images: jax.Array) -> jax.Array:
    return jnp.stack([jax.grad(loss)(*pair) for pair in zip(kernels, images, strict=True)])

  function = jax.jit(unrolled if form == 'unrolled' else jax.vmap(jax.grad(loss)))
  program = compile_program(function, kernels, images)
  row = time_runs(functools.partial(program.run, kernels, images), min(context.seconds, 5))
  row = told(program) | row | {'precision': 'highest', 'chunk': count}
  rate = {'units': count, 'unit': 'gradients', 'per_second': count / row['seconds']}
  note = f'{form}: 5 images of 14 x 14 x 32, 3 x 3, stride 2'
  return row | rate | peaks.against(row, context.ledger, turns=1) | {'note': note}
