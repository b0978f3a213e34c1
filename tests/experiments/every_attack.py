"""Plays a few trials of attacks, or trains, and prints every bit: `python -m ... LABEL...`."""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments.config.attacks import BOUNDS, PLAYED, targets_of
from experiments.config.cell import Cell
from experiments.config.streams import Stream
from experiments.engine import models, resumable
from experiments.engine.setting import make_setting
from experiments.process import cli
from tests.experiments.configurations import make

TRAINING = 'training'
ATTACKS = [f'{name} {target}' for name in PLAYED for target in targets_of(name)]
SMALL: dict[str, Any] = {
  'ways': 2,
  'image_size': 14,
  'filters': 8,
  'initialization': 'pytorch',
  'references': 100,
  'iterations': 5,
  'shadows': 40,
  'swaps': 10,
  'sketch': 256,
  'directions': 32,
  'neighbours': 20,
  'chunk': 2,
  'trials': 8,
  'tasks_per_round': 4,
  'rounds_per_epoch': 10,
}
NOISE = {'defence': 'outgoing_gradient_noise', 'noise_scale': 0.01}
COUNT = 8


def cell_of(label: str) -> Cell:
  """A tiny cell of an attack."""
  attack, target = label.split()
  network = 'conv4' if attack == 'patch_space' else 'mlp'
  options = SMALL | (NOISE if attack in ('noise_filter', *BOUNDS) else {})
  options |= {'calibration_trials': 0 if attack in BOUNDS else 4}
  return make(attack=attack, target=target, network=network, **options)


def scores(label: str) -> list[str]:
  """The scores of the first trials."""
  cell = cell_of(label)
  splits = models.splits_of(cell, None)
  params = models.initial_state(cell.recipe, splits).params
  setting, _ = make_setting(cell, params, splits.references)
  told = {'stream': Stream.REPORTED, 'count': COUNT, 'advance': lambda _: None}
  return bits(resumable.play(cell, setting, splits.victims, **told).trials.scores)


def trained() -> list[str]:
  """The parameters after an epoch, summed up, and the accuracies on new tasks."""
  model = make(network='conv4', **SMALL).recipe
  splits = models.splits_of(model, None)
  with tempfile.TemporaryDirectory() as folder:
    states = models.trained_states(model, [1], splits=splits, store_dir=Path(folder))
    _, state = next(iter(states))
  leaves = jax.tree.leaves(state.params)
  return [np.asarray(leaf).tobytes().hex()[:4096] for leaf in leaves]


def bits(numbers: Sequence[float]) -> list[str]:
  """Numbers, so that the last bit shows."""
  return [float(number).hex() for number in numbers]


if __name__ == '__main__':
  cli.use_all_cores()
  cli.cache_compilations()
  found = {label: trained() if label == TRAINING else scores(label) for label in sys.argv[1:]}
  print(json.dumps(found))
