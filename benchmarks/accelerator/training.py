"""Meta-training: rounds a second, by inner steps and form of convolutions."""

import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax

from benchmarks.accelerator import peaks
from benchmarks.accelerator.attacking import describe
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import compile_program, time_runs, told
from experiments.config.streams import Stream, stream_key
from experiments.engine import models
from mamljax import training


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Each number of inner steps, in each form."""
  for steps, form in itertools.product(sizes.inner_steps, ('patches', 'xla')):
    yield Measurement(f'{steps} inner steps/{form}', functools.partial(learn, steps, form))


def learn(steps: int, form: str, context: Context) -> dict[str, Any]:
  """Rounds of 16 learners, all of them computed together on an accelerator."""
  rounds = context.sizes.rounds
  ways, shots = context.sizes.tasks[0]
  fields = {'inner_steps': steps, 'convolution': form, 'ways': ways, 'shots': shots}
  cell = describe(context.sizes, **fields)
  splits = models.splits_of(cell, None)
  state, pool = models.initial_state(cell.recipe, splits), jax.device_put(splits.training)
  key = stream_key(cell.seed, Stream.TRAINING)
  arguments = key, state, pool, models.describe_training(cell)
  train = jax.jit(training.train, static_argnames='rounds')
  program = compile_program(train, *arguments, rounds=rounds)
  row = time_runs(functools.partial(program.run, *arguments), min(context.seconds, 5))
  row = told(program) | row | {'precision': 'highest', 'units': rounds, 'unit': 'rounds'}
  row |= peaks.against(row, context.ledger, turns=rounds)
  note = f'{cell.model.tasks_per_round} learners, {ways} ways, {shots} shots, Conv4'
  return row | {'per_second': rounds / row['seconds'], 'note': note}
