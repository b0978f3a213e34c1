"""The flags of a sweep; the only reader of FLAGS.

Almost every flag takes a comma list, and the lists multiply into a grid.
"""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, cast

from absl import flags

from experiments.config.attacks import NAMES
from experiments.config.bounds import integer, of
from experiments.config.cell import KNOWN, TYPES, Cell
from experiments.config.grid import expand
from experiments.config.sweep import Sweep
from experiments.config.workload import good_chunk
from experiments.process import arguments, cli
from mamljax.attacks.reconstruction import JUDGES, LABELS
from mamljax.audit.game import NON_MEMBERS
from mamljax.convolution import FORMS
from mamljax.defences import DEFENCES
from mamljax.errors import InputError, unknown
from mamljax.networks import (
  ACTIVATIONS,
  DOWNSAMPLINGS,
  INITIALIZATIONS,
  NETWORKS,
  NORMALIZATIONS,
  PRECISIONS,
)

FLAGS = flags.FLAGS

Keys = Callable[[Iterable[Cell], Path | None], Iterable[Cell]]
Axes = dict[str, list[Any]]  # field of a cell -> its values


class Axis(NamedTuple):
  """A flag that takes a list: the `Cell` field it sets, the type of an item, its help."""

  field: str
  kind: Callable[[str], Any]
  help: str


def boolean(text: str) -> bool:
  """A true or false of a list."""
  known = {'true': True, 'false': False}
  if text.lower() not in known:
    raise ValueError(f'{text!r} is neither true nor false')
  return known[text.lower()]


_KINDS = {int: 'a number without a fraction', boolean: 'true or false'}

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
  'convolution': Axis('convolution', str, f'{", ".join(FORMS)}: how it is computed'),
  'precision': Axis('precision', str, f'of matrix products: {", ".join(PRECISIONS)}'),
  'ways': Axis('ways', int, 'classes of a task'),
  'shots': Axis('shots', int, 'images of each class in each of the two sets'),
  'targets': Axis('target', str, 'the attacked set: query, support'),
  'attacks': Axis('attack', str, ', '.join(NAMES)),
  'parts': Axis('parts', str, "of a combined attack, joined by '+'"),
  'orders': Axis('order', int, '2 for MAML, 1 for first-order MAML'),
  'assumed_orders': Axis(
    'assumed_order', int, 'order that the adversary simulates; 0: the true one'
  ),
  'inner_steps': Axis('inner_steps', int, 'gradient steps of the adaptation'),
  'inner_learning_rates': Axis('inner_learning_rate', float, 'step of the adaptation'),
  'tasks_per_round': Axis('tasks_per_round', int, 'task-learners that send in a round'),
  'rounds_per_epoch': Axis('rounds_per_epoch', int, 'rounds in an epoch of meta-training'),
  'outer_learning_rate': Axis('outer_learning_rate', float, 'step of the meta-learner'),
  'epochs': Axis('epoch', int, 'epochs of meta-training before the attack'),
  'participations': Axis(
    'participations', int, 'gradients that a task sends, one at each of the last epochs'
  ),
  'learning_epochs': Axis(
    'learning_epoch',
    int,
    'epochs before learning is measured, where they are more; -1: not if untrained',
  ),
  'defences': Axis(
    'defence',
    str,
    f'{", ".join(DEFENCES)}; several at once and relative scales as in '
    f'query_noise+0.1*outgoing_gradient_noise',
  ),
  'noise_scales': Axis(
    'noise_scale', float, 'standard deviations of the noise; 0 for no defence'
  ),
  'noise_means': Axis('noise_mean', float, 'means of the noise'),
  'clip_noisy_images': Axis(
    'clip_noisy_images', boolean, 'true: noisy images are clipped to [0, 1]'
  ),
  'references': Axis(
    'references', int, 'public images of each class, for attacks that use them'
  ),
  'classes': Axis('classes', str, f'of the slots: {", ".join(KNOWN)}'),
  'query_sets': Axis(
    'query_set', str, f'for attacks that can do without it: {", ".join(KNOWN)}'
  ),
  'neighbours': Axis('neighbours', int, 'public images that a candidate is compared with'),
  'learners': Axis(
    'learners', int, '1: guess whether (local game); more: whose as well (global game)'
  ),
  'non_members': Axis('non_members', str, ', '.join(NON_MEMBERS)),
  'labels': Axis('labels', str, ', '.join(LABELS)),
  'iterations': Axis('iterations', int, 'steps of the reconstruction'),
  'attack_learning_rate': Axis('attack_learning_rate', float, 'its first step size'),
  'attack_decay': Axis('attack_decay', float, 'what it is cut to at 3/8, 5/8 and 7/8'),
  'tv_weight': Axis('tv_weight', float, 'weight of the total variation in equation 9'),
  'start_mean': Axis('start_mean', float, 'of the noise that other slots start from'),
  'start_scale': Axis('start_scale', float, 'its standard deviation'),
  'restarts': Axis('restarts', int, 'first guesses; the one of least objective counts'),
  'judges': Axis('judge', str, f'of a reconstruction: {", ".join(JUDGES)}'),
  'sketch': Axis('sketch', int, 'numbers that a filter keeps of a gradient'),
  'ridge': Axis('ridge', float, 'added to its covariance, relative to the mean variance'),
  'directions': Axis('directions', int, 'of gradients, that a filter of noise learns'),
  'shadows': Axis('shadows', int, 'support sets that a filter draws'),
  'swaps': Axis('swaps', int, 'those of them that it puts the candidate in'),
  'shrinkage': Axis('shrinkage', float, 'added to its covariance, as the ridge'),
  'pool': Axis('pool', str, 'images of the reported trials: victims; calibration to tune'),
}

SINGLE = {
  'trials': 'reported trials of a cell, half of them members',
  'calibration_trials': 'other trials, that choose the threshold, if it is not known',
  'seed': 'of everything random',
}

_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Cell)}

for _name, _axis in AXES.items():
  _default = _DEFAULTS[_axis.field]
  _own = " (default: the attack's own)" if _default is None else ''
  flags.DEFINE_list(_name, None if _own else [str(_default)], _axis.help + _own)
for _name, _help in SINGLE.items():
  integer(_name, cast(int, _DEFAULTS[_name]), of(Cell)[_name], _help)
integer(
  'chunk',
  0,
  of(Cell)['chunk']._replace(least=0),
  'trials computed together; 0: chosen for the backend',
)
flags.DEFINE_string('data_dir', None, "prepared data sets (default: TensorFlow Datasets' own)")
flags.DEFINE_string('output_dir', 'out', 'results; the same folder again resumes')
flags.DEFINE_string(
  'store_dir', None, 'finished cells and trained models, to share (default: output_dir)'
)
flags.DEFINE_string('x', '', 'a field such as ways, to draw the accuracy against')
flags.DEFINE_bool(
  'quick', False, 'a look in minutes: ends of lists, packaged images, few trials; OUT_quick'
)
flags.DEFINE_bool('dry_run', False, 'print the cells and stop')


def read(*, keys: Keys | None = None) -> Sweep:
  """The sweep that the parsed flags describe.

  Args:
    keys: gives cells the keys of their data and of the code, as results are named.

  Raises:
    InputError: if a list holds an item of the wrong type, a cell cannot be, or data that
      give a key are not there or not valid.
  """
  said = {name: axis for name, axis in AXES.items() if FLAGS[name].value is not None}
  axes = {axis.field: _items(name, axis.kind) for name, axis in said.items()}
  fixed = {name: FLAGS[name].value for name in SINGLE}
  if FLAGS.quick:
    axes, fixed = _quick(axes, fixed)
  cells = expand(axes, fixed)
  cells = [dataclasses.replace(cell, chunk=FLAGS.chunk or good_chunk(cell)) for cell in cells]
  _check_x(cells)
  data_dir = _folder('data_dir') if FLAGS.data_dir is not None else None
  output_dir = _folder('output_dir')
  if FLAGS.quick:
    output_dir = cli.quick_folder(output_dir)
  return Sweep(
    [*keys(cells, data_dir)] if keys else cells,
    data_dir=data_dir,
    output_dir=output_dir,
    store_dir=_folder('store_dir') if FLAGS.store_dir is not None else output_dir,
    x=FLAGS.x,
    dry_run=FLAGS.dry_run,
  )


def _check_x(cells: list[Cell]) -> None:
  """Refuses to draw against what is no number, or never varies."""
  numbers = [name for name, kind in TYPES.items() if kind in (int, float)]
  if FLAGS.x and FLAGS.x not in numbers:
    raise unknown('x', FLAGS.x, numbers)
  if FLAGS.x == 'noise_scale' and not any(cell.noise_scale for cell in cells):
    raise InputError('--x=noise_scale, but no cell has noise: give --defences, --noise_scales')


def _folder(name: str) -> Path:
  """The folder that a flag names."""
  return arguments.folder(name, FLAGS[name].value)


def _quick(axes: Axes, fixed: dict[str, Any]) -> tuple[Axes, dict[str, Any]]:
  """The same sweep in small: how its results look, not what they are."""
  ends = {field: list(dict.fromkeys([v[0], v[-1]])) for field, v in axes.items() if v}
  first = axes['dataset'][0] if axes['dataset'] else ''
  small = {
    'dataset': [f'{first}_sample' if first in ('mnist', 'fashion_mnist') else first],
    'iterations': [min(v, 30) for v in axes['iterations']],
    'rounds_per_epoch': [min(v, 5) for v in axes['rounds_per_epoch']],
    'references': [min(v, 30) for v in axes['references']],
    'sketch': [min(v, 256) for v in axes.get('sketch', [256])],
    'directions': [min(v, 64) for v in axes['directions']],
    'shadows': [min(v, 30) for v in axes.get('shadows', [30])],
  }
  return axes | ends | small, fixed | {'trials': 20, 'calibration_trials': 20}


def _items(name: str, kind: Callable[[str], Any]) -> list[Any]:
  """The items of a list flag."""
  items = FLAGS[name].value or []
  try:
    return [kind(item.strip()) for item in items]
  except ValueError as error:
    wanted = _KINDS.get(kind, 'a number')
    raise InputError(
      f'--{name}={",".join(items)}: every item must be {wanted} ({error})'
    ) from error
