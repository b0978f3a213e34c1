"""What is computed: a cell is one configuration."""

import dataclasses
import itertools
import math
import typing
from typing import Any, Self

from experiments.config.attacks import NAMES, check_game, fixed_threshold, parts_of, split_parts
from experiments.config.bounds import POSITIVE, REAL, SEED, Bounds, number, of
from mamljax.attacks.reconstruction import JUDGES, LABELS
from mamljax.audit.game import NON_MEMBERS
from mamljax.defences import parse_defence
from mamljax.errors import InputError, unknown
from mamljax.networks import make_network

TARGETS = ('query', 'support')
POOLS = ('victims', 'calibration')
KNOWN = ('known', 'unknown')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
  """A network and how it is meta-trained: all that its parameters depend on.

  Attributes:
    dataset: as `mamljax.data.load_dataset` names it.
    image_size: side to resize images to, in pixels; 0 leaves them as they are.
    channels: 1 or 3 to convert colours; 0 leaves them as they are.
    fingerprint: of the content of the data set; '' where it does not matter.
    code: `origin.code_key`, of all else that its parameters and what is made of them come from.
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
  image_size: int = number(0, Bounds(0, 4096, 'pixels'))
  channels: int = 0
  fingerprint: str = ''
  code: str = ''
  network: str = 'conv4'
  filters: int = number(32, Bounds(1, 8192, 'channels'))
  activation: str = 'relu'
  normalization: str = 'none'
  initialization: str = 'he'
  downsampling: str = 'stride'
  convolution: str = 'auto'
  precision: str = 'highest'
  ways: int = number(3, Bounds(2, 100_000, 'classes'))
  shots: int = number(1, Bounds(1, 100_000, 'images of a class'))
  order: int = 2
  inner_steps: int = number(1, Bounds(0, 10_000, 'steps'))
  inner_learning_rate: float = number(0.1, POSITIVE)
  defence: str = 'none'
  noise_scale: float = number(0.0, POSITIVE)
  noise_mean: float = number(0.0, REAL)
  clip_noisy_images: bool = False
  tasks_per_round: int = number(16, Bounds(1, 100_000, 'tasks'))
  rounds_per_epoch: int = number(100, Bounds(1, 1_000_000, 'rounds'))
  outer_learning_rate: float = number(1e-3, POSITIVE)
  seed: int = number(0, SEED)

  def __post_init__(self):
    for name, bounds in of(type(self)).items():
      bounds.check(name, getattr(self, name))
    make_network(self.network, ways=self.ways, **self.network_options())
    if parse_defence(self.defence) and not (self.noise_scale or self.noise_mean):
      raise InputError(f'defence {self.defence!r} needs a positive scale: give --noise_scales')
    if self.order not in (1, 2):
      raise InputError(f'orders: {self.order} is neither 1 (first-order MAML) nor 2')
    if self.channels not in (0, 1, 3):
      raise InputError(f'channels: {self.channels} is not 0 (as they are), 1 (grey) or 3')

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
    neighbours: see `mamljax.attacks.PatchSpace`.
    iterations, attack_learning_rate, attack_decay, tv_weight, start_mean, start_scale,
      labels, restarts, judge: see `mamljax.attacks.Reconstruction`.
    sketch, ridge: see `mamljax.attacks.MatchedFilter`.
    directions: see `mamljax.attacks.NoiseFilter`.
    shadows, swaps, shrinkage: see `mamljax.attacks.ShadowMatchedFilter`, and for
      `curvature_filter` and `residual_filter` their own. None, of these and of the sketch, is
      the default of the attack itself.
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
  epoch: int = number(0, Bounds(0, 1_000_000, 'epochs'))
  participations: int = number(1, Bounds(1, 10_000, 'gradients'))
  learning_epoch: int = number(-1, Bounds(-1, 1_000_000, 'epochs'))
  learners: int = number(1, Bounds(1, 10_000, 'learners'))
  non_members: str = 'same_class'
  assumed_order: int = 0
  references: int = number(1000, Bounds(2, 10_000_000, 'images of a class'))
  classes: str = 'known'
  query_set: str = 'known'
  neighbours: int = number(100, Bounds(2, 10_000_000, 'images'))
  iterations: int = number(100, Bounds(1, 1_000_000, 'steps'))
  attack_learning_rate: float = number(0.1, POSITIVE)
  attack_decay: float = number(0.1, POSITIVE)
  tv_weight: float = number(0.03, POSITIVE)
  start_mean: float = number(0.5, REAL)
  start_scale: float = number(0.25, POSITIVE)
  labels: str = 'known'
  restarts: int = number(1, Bounds(1, 10_000, 'first guesses'))
  judge: str = 'ssim'
  sketch: int | None = number(None, Bounds(1, 100_000, 'numbers'))
  ridge: float = number(0.01, POSITIVE)
  directions: int = number(256, Bounds(1, 100_000, 'directions'))
  shadows: int | None = number(None, Bounds(2, 1_000_000, 'support sets'))
  swaps: int = number(100, Bounds(1, 1_000_000, 'support sets'))
  shrinkage: float | None = number(None, POSITIVE)
  pool: str = 'victims'
  trials: int = number(200, Bounds(2, 10_000_000, 'trials'))
  calibration_trials: int = number(100, Bounds(0, 10_000_000, 'trials'))
  chunk: int = number(2, Bounds(1, 1_000_000, 'trials'))

  def __post_init__(self):
    super().__post_init__()
    if self.target not in TARGETS:
      raise unknown('target', self.target, TARGETS)
    if self.attack not in NAMES:
      raise unknown('attack', self.attack, NAMES)
    for kind, known in (
      ('pool', POOLS),
      ('labels', LABELS),
      ('classes', KNOWN),
      ('query_set', KNOWN),
      ('judge', JUDGES),
      ('non_members', NON_MEMBERS),
    ):
      if getattr(self, kind) not in known:
        raise unknown(kind, getattr(self, kind), known)
    if self.assumed_order not in (0, 1, 2):
      raise InputError(f'assumed_orders: {self.assumed_order} is not 0 (the true one), 1 or 2')
    split_parts(self.parts)  # also where no attack is combined of them
    check_game(self)
    if self.epoch < self.participations - 1:
      raise InputError(
        f'{self.participations} participations, the last so many epochs, need '
        f'--epochs={self.participations - 1} or more, not {self.epoch}'
      )
    if self.threshold is None:
      Bounds(2, math.inf, 'trials').check('calibration_trials', self.calibration_trials)

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


def describe(cell: Cell) -> str:
  """A short name of a cell for a person: its game, and what is not as by default."""
  game = f'{cell.dataset} {cell.ways}-way {cell.shots}-shot {cell.target} {cell.attack}'
  said = {'dataset', 'ways', 'shots', 'target', 'attack', 'chunk', 'fingerprint', 'code'}
  unusual = [
    f'{field.name}={getattr(cell, field.name)}'
    for field in dataclasses.fields(cell)
    if field.name not in said and getattr(cell, field.name) != field.default
  ]
  return ' '.join([game, *unusual])


# The type of each field, whether or not it may also be None.
TYPES = {
  name: next(iter(typing.get_args(hint)), hint)
  for name, hint in typing.get_type_hints(Cell).items()
}
