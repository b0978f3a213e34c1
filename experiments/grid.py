"""What is computed: a cell is one configuration, a grid the product of lists of values."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mamljax.attacks import ATTACKS
from mamljax.defences import DEFENCES
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
    network: a name in `mamljax.networks.NETWORKS`.
    filters, activation, normalization, initialization, downsampling: see
      `mamljax.networks.Network`.
    ways, shots: the shape of a task.
    order, inner_steps, inner_learning_rate: see `mamljax.maml.InnerLoop`.
    defence: a name in `mamljax.defences.DEFENCES`, in training and under attack.
    noise_scale: its standard deviation; 0 for 'none'.
    tasks_per_round, rounds_per_epoch: how much training an epoch is.
    outer_learning_rate: the meta-learner's step.
    seed: of everything random: pools, parameters, training, trials.
  """

  dataset: str = 'mnist_sample'
  image_size: int = 0
  channels: int = 0
  network: str = 'conv4'
  filters: int = 32
  activation: str = 'relu'
  normalization: str = 'none'
  initialization: str = 'he'
  downsampling: str = 'stride'
  ways: int = 3
  shots: int = 1
  order: int = 2
  inner_steps: int = 1
  inner_learning_rate: float = 0.1
  defence: str = 'none'
  noise_scale: float = 0.0
  tasks_per_round: int = 16
  rounds_per_epoch: int = 100
  outer_learning_rate: float = 1e-3
  seed: int = 0

  def __post_init__(self):
    make_network(self.network, ways=self.ways, **self.network_options())
    if self.seed >= 2**32:  # JAX keeps no more bits of it
      raise InputError(f'seed must be below 2**32, not {self.seed}')
    if self.defence not in DEFENCES:
      raise unknown('defence', self.defence, DEFENCES)
    if self.order not in (1, 2):
      raise InputError(f'orders: {self.order} is neither 1 (first-order MAML) nor 2')
    if self.channels not in (0, 1, 3):
      raise InputError(f'channels: {self.channels} is not 0 (as they are), 1 (grey) or 3')
    if self.defence != 'none' and self.noise_scale <= 0:
      raise InputError(f'defence {self.defence!r} needs a positive scale: give --noise_scales')
    _check_at_least(self, 0, 'image_size', 'inner_steps', 'inner_learning_rate', 'noise_scale')
    _check_at_least(self, 0, 'outer_learning_rate', 'seed')
    _check_at_least(self, 1, 'filters', 'shots', 'tasks_per_round', 'rounds_per_epoch')
    _check_at_least(self, 2, 'ways')

  def network_options(self) -> dict[str, Any]:
    """The attributes of `mamljax.networks.Network` other than ways."""
    names = ('filters', 'activation', 'normalization', 'initialization', 'downsampling')
    return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell(Model):
  """One attack on one model: what a line of results.csv is about.

  Attributes:
    target: 'query' or 'support', the set that is attacked.
    attack: a name in `mamljax.attacks.ATTACKS`.
    epoch: epochs of meta-training before the attack.
    iterations, attack_learning_rate, tv_weight, start_mean, start_scale: see
      `mamljax.attacks.reconstruction.Options`.
    pool: 'victims', or 'calibration' to tune hyper-parameters on images never reported.
    trials: reported trials, half of them members.
    calibration_trials: other trials, on other images, that choose the threshold.
    chunk: trials computed together. Part of the configuration, since the signs of an
      optimiser's steps amplify rounding, which depends on it.
  """

  target: str = 'query'
  attack: str = 'reconstruction'
  epoch: int = 0
  iterations: int = 100
  attack_learning_rate: float = 0.1
  tv_weight: float = 0.03
  start_mean: float = 0.5
  start_scale: float = 0.25
  pool: str = 'victims'
  trials: int = 200
  calibration_trials: int = 100
  chunk: int = 2

  def __post_init__(self):
    super().__post_init__()
    if self.target not in TARGETS:
      raise unknown('target', self.target, TARGETS)
    if self.attack not in ATTACKS:
      raise unknown('attack', self.attack, ATTACKS)
    if self.pool not in POOLS:
      raise unknown('pool', self.pool, POOLS)
    attacked = ATTACKS[self.attack].REQUIRES
    if self.target not in attacked:
      known = ', '.join(attacked)
      raise InputError(f'attack {self.attack!r} has no target {self.target!r}, only: {known}')
    _check_at_least(self, 0, 'epoch', 'attack_learning_rate', 'tv_weight', 'start_scale')
    _check_at_least(self, 1, 'iterations', 'chunk')
    _check_at_least(self, 2, 'trials', 'calibration_trials')
    _check_at_least(self, -math.inf, 'start_mean')

  @property
  def model(self) -> Model:
    """The model that is attacked."""
    fields = dataclasses.fields(Model)
    return Model(**{field.name: getattr(self, field.name) for field in fields})


def expand(axes: Mapping[str, Sequence[Any]], fixed: Mapping[str, Any]) -> list[Cell]:
  """The cells of a grid, the last axis varying fastest.

  A scale without a defence means nothing, so all of them are one cell, with scale 0.

  Args:
    axes: field name of `Cell` -> its values.
    fixed: field name of `Cell` -> its one value.

  Raises:
    InputError: if an axis is empty or a value cannot be.
  """
  for name, values in axes.items():
    if not values:
      raise InputError(f'no value is given for {name}')
  points = (
    dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
  )
  return list(dict.fromkeys(Cell(**fixed, **_without_idle_scale(p)) for p in points))


def _without_idle_scale(point: dict[str, Any]) -> dict[str, Any]:
  return point | {'noise_scale': 0.0} if point.get('defence') == 'none' else point


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
