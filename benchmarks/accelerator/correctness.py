"""Correctness of gradients and scores, against float64 of the CPU and from run to run."""

import functools
import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.accelerator import exact
from benchmarks.accelerator.attacking import attack, describe
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from tests.golden import cases, recording

FORMS = ('patches', 'xla')


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Meta-gradients, then each attack: at float32's precision, on record, and at the others."""
  for form, precision in itertools.product(FORMS, sizes.precisions):
    run = functools.partial(meta_gradient, form, precision)
    yield Measurement(f'meta_gradient/{form}/{precision}', run)
  yield Measurement('repeat', repeat)
  for label in labels(sizes):
    yield _scores(label, 'highest')
    yield Measurement(f'golden/{label}', functools.partial(golden, label))
  lower = itertools.product(sizes.precisions[1:], labels(sizes))
  yield from (_scores(label, precision) for precision, label in lower)


def _scores(label: str, precision: str) -> Measurement:
  run = functools.partial(scores, label, precision)
  return Measurement(f'scores/{label}/{precision}', run)


def labels(sizes: Sizes) -> tuple[str, ...]:
  """Cases on record: each attack, for each set that it seeks."""
  return sizes.labels or exact.LABELS


def meta_gradient(form: str, precision: str, context: Context) -> dict[str, Any]:
  """The exact meta-gradient of one task, its distance relative to its norm."""
  cell = describe(context.sizes, convolution=form, matmul_precision=precision)
  found, wanted = np.asarray(exact.send(cell), np.float64), exact.send_exactly(cell)
  error = float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))
  return {'precision': precision, 'error': error, 'note': _REFERENCE, 'networks': 1, 'seed': 0}


def repeat(context: Context) -> dict[str, Any]:
  """The scores of one program run twice: how many differ in any bit."""
  ways, shots = context.sizes.tasks[0]
  fields = {'ways': ways, 'shots': shots, 'reconstruction.iterations': context.sizes.steps}
  units = context.sizes.chunks[-1]
  attacked = attack(describe(context.sizes, **fields), units=units)
  first, second = (np.asarray(attacked.run().scores) for _ in range(2))
  different = int(np.count_nonzero(first.view(np.int32) != second.view(np.int32)))
  note = f'{different} of {units} scores of a reconstruction differ between two runs'
  return {'precision': 'highest', 'units': units, 'error': different / units, 'note': note}


def scores(label: str, precision: str, context: Context) -> dict[str, Any]:
  """The scores of a case, their deviation relative to the largest of them."""
  del context
  cell = exact.at_precision(cases.make_cell(label), precision)
  recorded = exact.recorded()
  error = exact.deviation(exact.score(cell), recorded.scores[label])
  note = f'{_REFERENCE}, from which its float32 is {recorded.float32[label]:.1e}'
  told = {'precision': precision, 'error': error, 'trials': cell.game.trials, 'networks': 1}
  return told | {'seed': cell.seed, 'note': note}


def golden(label: str, context: Context) -> dict[str, Any]:
  """The scores of a case against those on record."""
  del context
  cell, content = cases.make_cell(label), json.loads(recording.FILE.read_bytes())
  wanted = [float.fromhex(score) for score in content['scores'][label]['scores']]
  error = exact.deviation(exact.score(cell), wanted)
  machine = 'this machine' if content['machine'] == recording.machine() else 'a CPU'
  told = {'precision': 'highest', 'error': error, 'trials': cell.game.trials, 'networks': 1}
  return told | {'seed': cell.seed, 'note': f'against the scores on record, of {machine}'}


_REFERENCE = 'against float64 of the CPU'
