"""Attacks in closed form: decisions a second, by attack and set."""

import functools
from collections.abc import Iterator
from typing import Any

from benchmarks.accelerator import peaks
from benchmarks.accelerator.attacking import attack, describe
from benchmarks.accelerator.plan import Context, Measurement
from benchmarks.accelerator.sizes import Sizes
from benchmarks.accelerator.timing import time_runs, told
from experiments.config.attacks import targets_of

# These take fewer candidates together.
_SIMULATING = ('shadow_matched_filter', 'curvature_filter', 'residual_filter')
_DENSE = ('row_space', 'silent_units')  # need a first layer that is fully connected
_NOISY = {'defence': 'outgoing_gradient_noise', 'noise_scale': 0.01}


def measurements(sizes: Sizes) -> Iterator[Measurement]:
  """Each attack, on each set that it seeks."""
  for name in sizes.closed_form:
    fewer = 16 if name in _SIMULATING else 1
    at_once = max(2, sizes.decisions // fewer)
    for target in targets_of(name):
      run = functools.partial(decide, name, target, at_once)
      yield Measurement(f'{name} {target}', run)


def decide(name: str, target: str, at_once: int, context: Context) -> dict[str, Any]:
  """Decisions of an attack with its own options, on tasks of 5 ways and 1 shot."""
  ways, shots = context.sizes.tasks[0]
  fields: dict[str, Any] = {'attack': name, 'target': target, 'ways': ways, 'shots': shots}
  fields |= {'network': 'mlp'} if name in _DENSE else {}
  fields |= _NOISY if name == 'noise_filter' else {}
  attacked = attack(describe(context.sizes, **fields), units=at_once)
  row = told(attacked.program) | time_runs(attacked.run, min(context.seconds, 5))
  row |= {'precision': 'highest', 'chunk': at_once, 'units': at_once, 'unit': 'decisions'}
  row |= peaks.against(row, context.ledger, turns=1)
  note = f'{fields.get("network", "conv4")}; prepared in {attacked.prepare_seconds:.1f} s'
  return row | {'per_second': at_once / row['seconds'], 'note': note}
