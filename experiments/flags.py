"""The flags of a sweep; the only reader of FLAGS.

Almost every flag takes a comma list, and the lists multiply into a grid.
"""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, cast

import jax
from absl import flags

from experiments import grid
from mamljax.attacks import ATTACKS
from mamljax.defences import DEFENCES
from mamljax.errors import InputError
from mamljax.networks import (
  ACTIVATIONS,
  DOWNSAMPLINGS,
  INITIALIZATIONS,
  NETWORKS,
  NORMALIZATIONS,
)

FLAGS = flags.FLAGS


class Axis(NamedTuple):
  """A flag that takes a list: the `Cell` field it sets, the type of an item, its help."""

  field: str
  kind: Callable[[str], Any]
  help: str


AXES = {
  'datasets': Axis('dataset', str, 'mnist_sample, any TFDS name, npz:PATH'),
  'image_size': Axis('image_size', int, 'side to resize images to; 0: as they are'),
  'channels': Axis('channels', int, '1 or 3 to convert colours; 0: as they are'),
  'networks': Axis('network', str, ', '.join(NETWORKS)),
  'filters': Axis('filters', int, 'channels of each layer of conv4'),
  'activation': Axis('activation', str, ', '.join(ACTIVATIONS)),
  'normalization': Axis('normalization', str, ', '.join(NORMALIZATIONS)),
  'initialization': Axis('initialization', str, ', '.join(INITIALIZATIONS)),
  'downsampling': Axis('downsampling', str, f'of conv4: {", ".join(DOWNSAMPLINGS)}'),
  'ways': Axis('ways', int, 'classes of a task'),
  'shots': Axis('shots', int, 'images of each class in each of the two sets'),
  'targets': Axis('target', str, 'the attacked set: query, support'),
  'attacks': Axis('attack', str, ', '.join(ATTACKS)),
  'orders': Axis('order', int, '2 for MAML, 1 for first-order MAML'),
  'inner_steps': Axis('inner_steps', int, 'gradient steps of the adaptation'),
  'inner_learning_rates': Axis('inner_learning_rate', float, 'step of the adaptation'),
  'tasks_per_round': Axis('tasks_per_round', int, 'task-learners that send in a round'),
  'rounds_per_epoch': Axis('rounds_per_epoch', int, 'rounds in an epoch of meta-training'),
  'outer_learning_rate': Axis('outer_learning_rate', float, 'step of the meta-learner'),
  'epochs': Axis('epoch', int, 'epochs of meta-training before the attack'),
  'defences': Axis('defence', str, ', '.join(DEFENCES)),
  'noise_scales': Axis('noise_scale', float, 'standard deviations of the noise'),
  'iterations': Axis('iterations', int, 'steps of the reconstruction'),
  'attack_learning_rate': Axis('attack_learning_rate', float, 'its first step size'),
  'tv_weight': Axis('tv_weight', float, 'weight of the total variation in equation 9'),
  'start_mean': Axis('start_mean', float, 'of the noise that other slots start from'),
  'start_scale': Axis('start_scale', float, 'its standard deviation'),
  'pool': Axis('pool', str, 'images of the reported trials: victims; calibration to tune'),
}

SINGLE = {
  'trials': 'reported trials of a cell, half of them members',
  'calibration_trials': 'other trials, that choose the threshold',
  'seed': 'of everything random',
}

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(grid.Cell)}

for _name, _axis in AXES.items():
  flags.DEFINE_list(_name, [str(_DEFAULTS[_axis.field])], _axis.help)
for _name, _help in SINGLE.items():
  flags.DEFINE_integer(_name, cast(int, _DEFAULTS[_name]), _help)
flags.DEFINE_integer('chunk', 0, 'trials computed together; 0: chosen for the backend')
flags.DEFINE_string('data_dir', None, "prepared data sets (default: TensorFlow Datasets' own)")
flags.DEFINE_string('output_dir', 'out', 'results; the same folder again resumes')
flags.DEFINE_bool('dry_run', False, 'print the cells and stop')


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What the command line asks for."""

  cells: list[grid.Cell]
  data_dir: Path | None
  output_dir: Path
  dry_run: bool


def read() -> Sweep:
  """The sweep that the parsed flags describe.

  Raises:
    InputError: if a list holds an item of the wrong type, or a cell cannot be.
  """
  axes = {axis.field: _items(name, axis.kind) for name, axis in AXES.items()}
  fixed = {name: FLAGS[name].value for name in SINGLE}
  cells = grid.expand(axes, fixed)
  if FLAGS.chunk < 0:
    raise InputError(f'chunk must be positive, or 0 to have it chosen, not {FLAGS.chunk}')
  cells = [dataclasses.replace(c, chunk=FLAGS.chunk or _good_chunk(c)) for c in cells]
  data_dir = Path(FLAGS.data_dir).expanduser() if FLAGS.data_dir else None
  return Sweep(cells, data_dir, Path(FLAGS.output_dir).expanduser(), FLAGS.dry_run)


def _items(name: str, kind: Callable[[str], Any]) -> list[Any]:
  """The items of a list flag."""
  items = FLAGS[name].value or []
  try:
    return [kind(item.strip()) for item in items]
  except ValueError as error:
    raise InputError(
      f'--{name}={",".join(items)}: every item must be a number'
      f'{" without a fraction" if kind is int else ""} ({error})'
    ) from error


def _good_chunk(cell: grid.Cell) -> int:
  """As many trials as fit a core's cache, or keep an accelerator busy."""
  images = 12 if jax.default_backend() == 'cpu' else 2048
  return max(1, math.floor(images / (cell.ways * cell.shots)))
