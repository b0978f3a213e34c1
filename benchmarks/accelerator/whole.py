"""Whole studies, each for as long as its time lasts: what was done of it is in its row."""

import functools
import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.accelerator.attacking import describe, members
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from experiments.config.cell import Cell
from experiments.config.streams import Stream, stream_key
from experiments.config.workload import with_chunk
from experiments.engine import models
from experiments.engine.runner import run_cell
from experiments.engine.setting import make_setting
from mamljax.audit.blocks import Block, play_blocks
from mamljax.audit.metrics import auc_rate

# As the flagfiles of the paper's tables have them.
_TABLES: dict[str, dict[str, Any]] = {
  'table2': {'target': 'query', 'initialization': 'pytorch'},
  'table1': {
    'target': 'support',
    'initialization': 'pytorch',
    'activation': 'softplus',
    'reconstruction.iterations': 60,
    'reconstruction.learning_rate': 0.15,
    'reconstruction.decay': 0.5,
  },
}


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Many trials of two attacks, then the tables of the paper at one shot, cell by cell."""
  yield Measurement('matched filter', filtered)
  yield Measurement('query attack', reconstructed)
  for table, data, ways in itertools.product(_TABLES, sizes.datasets, sizes.table_ways):
    run = functools.partial(table_cell, table, data, ways)
    yield Measurement(f'{table}/{data} {ways} ways', run)


def filtered(context: Context) -> dict[str, Any]:
  """Trials of the matched filter, on tasks of 5 ways and 1 shot."""
  fields = {'attack': 'matched_filter', 'chunk': context.sizes.decisions}
  return _play(fields, context.sizes.filtered, context)


def reconstructed(context: Context) -> dict[str, Any]:
  """Candidates of the paper's query attack, in the chunk that was the fastest."""
  sizes = context.sizes
  start = f'query_{sizes.tasks[0][0] * sizes.tasks[0][1]}/'
  best = context.ledger.best('reconstruction', start)
  fields = {'reconstruction.iterations': sizes.iterations}
  fields['chunk'] = min(
    int(best['chunk']) if best else sizes.chunks[0], sizes.reconstructed // 8
  )
  return _play(fields, sizes.reconstructed, context)


def _play(fields: dict[str, Any], aim: int, context: Context) -> dict[str, Any]:
  """Plays trials block after block until the time is up; the first block is not timed."""
  ways, shots = context.sizes.tasks[0]
  cell = describe(context.sizes, ways=ways, shots=shots, **fields)
  end = time.perf_counter() + context.seconds
  blocks = _blocks(cell, aim)
  begun = time.perf_counter()
  scores = [next(blocks).played.scores]
  start = time.perf_counter()
  for block in blocks:
    scores.append(block.played.scores)
    if time.perf_counter() > end:
      break
  seconds, first = time.perf_counter() - start, len(scores[0])
  found = np.concatenate(scores)[:aim]
  done = len(found) - first
  rate = auc_rate(
    found, members(len(found)), np.arange(len(found)), seed=cell.seed, resamples=200
  )
  row = {'seconds': seconds, 'repeats': 1, 'units': done, 'compile_seconds': start - begun}
  row |= {'unit': 'trials', 'per_second': done / seconds if done else None}
  row |= {
    'precision': 'highest',
    'chunk': cell.execution.chunk,
    'iterations': _iterations(cell),
  }
  row |= {'auc': rate.value, 'auc_low': rate.low, 'auc_high': rate.high} if rate else {}
  row |= {'trials': len(found), 'networks': 1, 'seed': cell.seed}
  return row | {'note': f'{len(found):,} of {aim:,} trials; the first {first} are not timed'}


def _iterations(cell: Cell) -> int | None:
  return getattr(cell.attack, 'iterations', None)


def _blocks(cell: Cell, count: int) -> Iterator[Block]:
  """Blocks of trials of an untrained model."""
  splits = models.splits_of(cell, None)
  params = models.initial_state(cell.recipe, splits).params
  setting, _ = make_setting(cell, params, splits.references)
  key = stream_key(cell.seed, Stream.REPORTED)
  return play_blocks(key, jax.device_put(splits.victims), setting, count=count)


def table_cell(table: str, data: str, ways: int, context: Context) -> dict[str, Any]:
  """A cell of Table I or II at one shot, on packaged images, as a sweep computes it."""
  trials = context.sizes.table_trials
  fields = _TABLES[table] | {'dataset': data, 'ways': ways, 'shots': 1}
  fields |= {'trials': trials, 'calibration_trials': trials // 2}
  cell = with_chunk(describe(context.sizes, **fields), 0)
  begun = time.perf_counter()
  with tempfile.TemporaryDirectory() as folder:
    store: dict[str, Any] = {'data_dir': None, 'store_dir': Path(folder)}
    result, _ = run_cell(cell, **store, advance=lambda _: None)
  seconds = time.perf_counter() - begun
  metrics, timings = result.metrics, result.timings
  row = {'seconds': seconds, 'repeats': 1, 'units': trials + trials // 2, 'unit': 'trials'}
  row |= {'per_second': 1 / timings['seconds_per_trial'], 'iterations': _iterations(cell)}
  row |= {'compile_seconds': timings['compile_seconds'], 'chunk': cell.execution.chunk}
  row |= {'trials': trials, 'networks': 1, 'seed': cell.seed, 'precision': 'highest'}
  if metrics.auc:
    row |= dict(zip(('auc', 'auc_low', 'auc_high'), metrics.auc, strict=True))
  accuracy = 'accuracy {:.3f} [{:.3f}, {:.3f}]'.format(*metrics.accuracy or (0, 0, 0))
  return row | {'note': f'{accuracy}, packaged images; seconds are of all of the cell'}
