"""What is computed: a cell is one configuration, a grid the product of lists of values."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Self

from experiments.options import NAMES, check_game, fixed_threshold, idle_fields, parts_of
from mamljax.attacks.patch_space import QUERY_SETS
from mamljax.attacks.reconstruction import JUDGES, LABELS
from mamljax.attacks.slot_classes import CLASSES
from mamljax.audit.game import NON_MEMBERS
from mamljax.defences import parse_defence
from mamljax.errors import InputError, unknown
from mamljax.networks import make_network

TARGETS = ('query', 'support')
POOLS = ('victims', 'calibration')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
  """A network and how it is meta-trained: all that its parameters depend on.

  Attributes:
    dataset: as `mamljax.data.load_dataset` names it.
    image_size: side to resize images to, in pixels; 0 leaves them as they are.
    channels: 1 or 3 to convert colours; 0 leaves them as they are.
    fingerprint: of the content of a file of the user's, where `dataset` names one; else ''.
    network: a name in `mamljax.networks.NETWORKS`.
    filters, activation, normalization, initialization, downsampling, convolution, precision:
      see `mamljax.networks.Network`.
    ways, shots: the shape of a task.
    order, inner_steps, inner_learning_rate: see `mamljax.maml.InnerLoop`.
    defence: as `mamljax.defences.parse_defence` reads it, in training and under attack.
    noise_scale, noise_mean: of its noise, where it has no factor; 0 for 'none'.
    clip_noisy_images: whether noisy images are clipped to [0, 1].
    tasks_per_round, rounds_per_epoch: how much training an epoch is.
    outer_learning_rate: the meta-learner's step.
    seed: of everything random: pools, parameters, training, trials.
  """

  dataset: str = 'mnist_sample'
  image_size: int = 0
  channels: int = 0
  fingerprint: str = ''
  network: str = 'conv4'
  filters: int = 32
  activation: str = 'relu'
  normalization: str = 'none'
  initialization: str = 'he'
  downsampling: str = 'stride'
  convolution: str = 'auto'
  precision: str = 'highest'
  ways: int = 3
  shots: int = 1
  order: int = 2
  inner_steps: int = 1
  inner_learning_rate: float = 0.1
  defence: str = 'none'
  noise_scale: float = 0.0
  noise_mean: float = 0.0
  clip_noisy_images: bool = False
  tasks_per_round: int = 16
  rounds_per_epoch: int = 100
  outer_learning_rate: float = 1e-3
  seed: int = 0

  def __post_init__(self):
    make_network(self.network, ways=self.ways, **self.network_options())
    if self.seed >= 2**32:  # JAX keeps no more bits of it
      raise InputError(f'seed must be below 2**32, not {self.seed}')
    if parse_defence(self.defence) and not (self.noise_scale or self.noise_mean):
      raise InputError(f'defence {self.defence!r} needs a positive scale: give --noise_scales')
    if self.order not in (1, 2):
      raise InputError(f'orders: {self.order} is neither 1 (first-order MAML) nor 2')
    if self.channels not in (0, 1, 3):
      raise InputError(f'channels: {self.channels} is not 0 (as they are), 1 (grey) or 3')
    _check_at_least(self, 0, 'image_size', 'inner_steps', 'inner_learning_rate', 'noise_scale')
    _check_at_least(self, 0, 'outer_learning_rate', 'seed')
    _check_at_least(self, 1, 'filters', 'shots', 'tasks_per_round', 'rounds_per_epoch')
    _check_at_least(self, 2, 'ways')
    _check_at_least(self, -math.inf, 'noise_mean')

  def network_options(self) -> dict[str, Any]:
    """The attributes of `mamljax.networks.Network` other than ways."""
    names = ('filters', 'activation', 'normalization', 'initialization', 'downsampling')
    names += ('convolution', 'precision')
    return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(Model):
  """One attack on one model: what a line of results.csv is about.

  Attributes:
    target: 'query' or 'support', the set that is attacked.
    attack: a name in `mamljax.attacks.ATTACKS`, or of a bound that none can pass, or
      'combined'.
    parts: of a combined attack, joined by '+'; calibration trials weigh them.
    epoch: epochs of meta-training before the attack.
    participations: gradients that each learner sends of its one task, one at each of the last
      so many epochs up to `epoch`; calibration trials weigh what an attack makes of them. They
      are not part of the training.
    learning_epoch: epochs after which the learning accuracy is measured, or `epoch` if that
      is more: an attack on the untrained model beside what its noise costs in the end. -1:
      that of an untrained model is not.
    learners, non_members: see `mamljax.audit.game.draw_trial`; 1 learner is the local game.
    assumed_order: of the inner loop that the adversary simulates; 0: the learners' own.
    references: public images of each class that the adversary has, or all if there are fewer.
    classes: 'known' or 'unknown', whether it knows which class each slot holds.
    query_set: 'known' or 'unknown', whether it has the query set that goes with the support
      set that it seeks, where it can do without.
    neighbours: see `mamljax.attacks.patch_space.Options`.
    iterations, attack_learning_rate, attack_decay, tv_weight, start_mean, start_scale,
      labels, restarts, judge: see `mamljax.attacks.reconstruction.Options`.
    sketch, ridge: see `mamljax.attacks.matched_filter.Options`.
    directions: see `mamljax.attacks.noise_filter.Options`.
    shadows, swaps, shrinkage: see `mamljax.attacks.shadow_matched_filter.Options`, and for
      `curvature_filter` and `residual_filter` their own.
    pool: 'victims', or 'calibration' to tune hyper-parameters on images never reported.
    trials: reported trials, half of them members.
    calibration_trials: other trials, on other images, that choose the threshold; 0 where it
      is known beforehand.
    chunk: trials computed together. Part of the configuration, since the signs of an
      optimiser's steps amplify rounding, which depends on it.
  """

  target: str = 'query'
  attack: str = 'reconstruction'
  parts: str = 'matched_filter+gradient_cosine_z'
  epoch: int = 0
  participations: int = 1
  learning_epoch: int = -1
  learners: int = 1
  non_members: str = 'same_class'
  assumed_order: int = 0
  references: int = 1000
  classes: str = 'known'
  query_set: str = 'known'
  neighbours: int = 100
  iterations: int = 100
  attack_learning_rate: float = 0.1
  attack_decay: float = 0.1
  tv_weight: float = 0.03
  start_mean: float = 0.5
  start_scale: float = 0.25
  labels: str = 'known'
  restarts: int = 1
  judge: str = 'ssim'
  sketch: int = 2048
  ridge: float = 0.01
  directions: int = 256
  shadows: int = 300
  swaps: int = 100
  shrinkage: float = 0.1
  pool: str = 'victims'
  trials: int = 200
  calibration_trials: int = 100
  chunk: int = 2

  def __post_init__(self):
    super().__post_init__()
    if self.target not in TARGETS:
      raise unknown('target', self.target, TARGETS)
    if self.attack not in NAMES:
      raise unknown('attack', self.attack, NAMES)
    for kind, known in (
      ('pool', POOLS),
      ('labels', LABELS),
      ('classes', CLASSES),
      ('query_set', QUERY_SETS),
      ('judge', JUDGES),
      ('non_members', NON_MEMBERS),
    ):
      if getattr(self, kind) not in known:
        raise unknown(kind, getattr(self, kind), known)
    if self.assumed_order not in (0, 1, 2):
      raise InputError(f'assumed_orders: {self.assumed_order} is not 0 (the true one), 1 or 2')
    check_game(self)
    _check_at_least(self, 1, 'participations')
    _check_at_least(self, 0, 'epoch')
    if self.epoch < self.participations - 1:
      raise InputError(
        f'{self.participations} participations, the last so many epochs, need '
        f'--epochs={self.participations - 1} or more, not {self.epoch}'
      )
    _check_at_least(self, -1, 'learning_epoch')
    _check_at_least(self, 0, 'attack_learning_rate', 'attack_decay', 'tv_weight', 'start_scale')
    _check_at_least(self, 0, 'ridge', 'shrinkage')
    _check_at_least(self, 1, 'iterations', 'chunk', 'learners', 'restarts', 'sketch')
    _check_at_least(self, 1, 'swaps', 'directions')
    _check_at_least(self, 2, 'trials', 'references', 'shadows', 'neighbours')
    _check_at_least(self, 0 if self.threshold is not None else 2, 'calibration_trials')
    _check_at_least(self, -math.inf, 'start_mean')

  @property
  def threshold(self) -> float | None:
    """The threshold that is known beforehand; None if calibration trials choose it."""
    return fixed_threshold(self.attack, self.defence, participations=self.participations)

  @property
  def model(self) -> Model:
    """The model that is attacked."""
    fields = dataclasses.fields(Model)
    return Model(**{field.name: getattr(self, field.name) for field in fields})

  @property
  def alone(self) -> list[Self]:
    """A cell for each gradient, and attack on it, that the score is made of; same trials."""
    epochs = range(self.epoch - self.participations + 1, self.epoch + 1)
    return [
      dataclasses.replace(self, attack=part, epoch=epoch, participations=1)
      for part, epoch in itertools.product(parts_of(self), epochs)
    ]


def expand(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Cell]:
  """The cells of a grid, the last axis varying fastest.

  A defence without noise is none, so that a list of scales may begin with 0 for all
  defences; and a scale without a defence means nothing: all of these are one cell. So are
  cells that differ only in what their attack does not read, such as a `tv_weight`; these
  fields are as by default, and no trials calibrate a threshold that is known.

  Args:
    axes: field name of `Cell` -> its values.
    fixed: field name of `Cell` -> its one value.

  Raises:
    InputError: if an axis is empty or a value cannot be, or no defence gets any noise.
  """
  for name, values in axes.items():
    if not values:
      raise InputError(f'no value is given for {name}')
  points = [
    dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
  ]
  asked = {p['defence'] for p in points if p.get('defence', 'none') != 'none'}
  idle = asked - {point['defence'] for point in points if _is_noisy(point)}
  if idle:
    raise InputError(f'defence {min(idle)!r} needs a positive scale: give --noise_scales')
  plain = [p if _is_noisy(p) else p | _UNDEFENDED for p in points]
  # What an attack does not read may still be a mistake, so it is checked before it is reset.
  return list(dict.fromkeys(_without_idle(Cell(**fixed, **p)) for p in plain))


def _without_idle(cell: Cell) -> Cell:
  """The cell, with the fields that its attack does not read as by default."""
  idle = {
    name: _DEFAULTS[name] for name in idle_fields(cell.attack, cell.target, parts=cell.parts)
  }
  known = {} if cell.threshold is None else {'calibration_trials': 0}
  return dataclasses.replace(cell, **idle, **known)


_DEFAULTS = {field.name: field.default for field in dataclasses.fields(Cell)}


_UNDEFENDED = {
  'defence': 'none',
  'noise_scale': 0.0,
  'noise_mean': 0.0,
  'clip_noisy_images': False,
}


def _is_noisy(point: dict[str, Any]) -> bool:
  noise = point.get('noise_scale', 0), point.get('noise_mean', 0)
  return point.get('defence', 'none') != 'none' and any(noise)


def describe(cell: Cell) -> str:
  """A short name of a cell for a person: its game, and what is not as by default."""
  game = f'{cell.dataset} {cell.ways}-way {cell.shots}-shot {cell.target} {cell.attack}'
  said = {'dataset', 'ways', 'shots', 'target', 'attack', 'chunk'}
  unusual = [
    f'{field.name}={getattr(cell, field.name)}'
    for field in dataclasses.fields(cell)
    if field.name not in said and getattr(cell, field.name) != field.default
  ]
  return ' '.join([game, *unusual])


def _check_at_least(configuration: Model, least: float, *names: str) -> None:
  """Refuses numbers that are too small, infinite or NaN."""
  for name in names:
    value = getattr(configuration, name)
    if not (math.isfinite(value) and value >= least):
      bound = f' of at least {least}' if least > -math.inf else ''
      raise InputError(f'{name} must be a number{bound}, not {value}')
