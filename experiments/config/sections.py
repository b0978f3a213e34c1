"""Sections of a configuration: images, model, task, adaptation, defence, game, execution."""

import dataclasses
from typing import Any

from experiments.config import networks
from experiments.config.attacks import JOINT
from experiments.config.fields import choice, fields_of, number, plain
from experiments.process.bounds import POSITIVE, REAL, Bounds
from mamljax.attacks.knowledge import WITHHOLDABLE
from mamljax.audit.game import NON_MEMBERS
from mamljax.checks import TARGETS
from mamljax.convolution import FORMS
from mamljax.defences import AGGREGATE, MECHANISMS, NOISES, parse_defence
from mamljax.errors import InputError, unknown
from mamljax.networks import (
  ACTIVATIONS,
  INITIALIZATIONS,
  NORMALIZATIONS,
  PRECISIONS,
  Network,
)

POOLS = ('victims', 'calibration')
STEPS = ('reptile', 'delta')  # protocols that send the steps of the adaptation
PROTOCOLS = ('maml', 'anil', 'meta_sgd', 'imaml', *STEPS)
UNDEFENDED = 'none'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Section:
  """A part of a configuration, whose fields are checked when it is made."""

  def __post_init__(self):
    for field in fields_of(type(self)):
      field.check(getattr(self, field.attribute))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Data(Section):
  """Images.

  Attributes:
    dataset: data set: mnist_sample, any name of TensorFlow Datasets, or npz:PATH.
    image_size: side that images are resized to, in pixels; 0 leaves them as they are.
    channels: colours that images are converted to: 1 for grey, 3, or 0 to leave them.
    fingerprint: hash of the content of the data set; '' where it does not matter.
  """

  dataset: str = plain('mnist_sample', flag='datasets')
  image_size: int = number(0, Bounds(0, 4096, 'pixels'))
  channels: int = choice(0, (0, 1, 3))
  fingerprint: str = plain('', flag='')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Section):
  """A network and how it is meta-trained.

  Attributes:
    network: options of a network; their type is the network.
    activation: activation of the network.
    normalization: normalisation of every layer but the last.
    initialization: initialisation of weights and biases.
    convolution: form in which convolutions are computed.
    matmul_precision: precision of matrix products; a CPU knows the highest only.
    tasks_per_round: task-learners that send a gradient in a round of meta-training.
    rounds_per_epoch: rounds in an epoch of meta-training.
    outer_learning_rate: step size of the meta-learner.
  """

  network: Any = dataclasses.field(default_factory=networks.OPTIONS['conv4'])
  activation: str = choice(Network.activation, [*ACTIVATIONS])
  normalization: str = choice(Network.normalization, NORMALIZATIONS)
  initialization: str = choice(Network.initialization, [*INITIALIZATIONS])
  convolution: str = choice(Network.convolution, [*FORMS])
  matmul_precision: str = choice(Network.precision, PRECISIONS)
  tasks_per_round: int = number(16, Bounds(1, 100_000, 'tasks'))
  rounds_per_epoch: int = number(100, Bounds(1, 1_000_000, 'rounds'))
  outer_learning_rate: float = number(1e-3, POSITIVE)

  @property
  def network_name(self) -> str:
    """The name of the network."""
    return networks.network_name(self.network)

  @property
  def network_options(self) -> dict[str, Any]:
    """All options of the network but its ways, as `mamljax.make_network` takes them."""
    common = ('activation', 'normalization', 'initialization', 'convolution')
    options = {name: getattr(self, name) for name in common}
    return options | {'precision': self.matmul_precision} | dataclasses.asdict(self.network)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Section):
  """The shape of a task.

  Attributes:
    ways: classes of a task.
    shots: images of each class in each of the two sets of a task.
  """

  ways: int = number(3, Bounds(2, 100_000, 'classes'))
  shots: int = number(1, Bounds(1, 100_000, 'images of a class'))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inner(Section):
  """The adaptation of a task-learner, and its message.

  Attributes:
    protocol: protocol of the task-learners: maml; anil, in which the last layer alone adapts;
      meta_sgd, with a rate for each parameter; imaml; reptile and delta, which send what the
      adaptation moved.
    order: order of the gradient that is sent: 2 for MAML, 1 for first-order MAML.
    steps: gradient steps of the adaptation.
    learning_rate: step size of the adaptation.
  """

  protocol: str = choice('maml', PROTOCOLS, flag='protocols')
  order: int = choice(2, (1, 2), flag='orders')
  steps: int = number(1, Bounds(0, 10_000, 'steps'), column='inner_steps')
  learning_rate: float = number(
    0.1, POSITIVE, column='inner_learning_rate', flag='inner_learning_rates'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defence(Section):
  """Noise that task-learners add, in training and under attack, and what else they do.

  Attributes:
    points: points where noise is added: none, support_noise, inner_gradient_noise, query_noise,
      outgoing_gradient_noise; several at once, and relative scales, as in
      query_noise+0.1*outgoing_gradient_noise; dp_gaussian, with a clip and a multiplier of its
      own, clips what is sent and adds noise that has a guarantee; dp_examples, with the same,
      clips the term of each query example instead, for a guarantee of single ones, and
      dp_steps that of each support example in each step of the adaptation; 0.1*top_k
      sends the largest tenth of the numbers alone, sign their signs, 2*quantised their rounding
      to two levels, and of 8*aggregate the sum of eight learners is seen alone.
    scale: standard deviation of the noise at a point without a factor; 0 for no defence.
    mean: mean of the noise at a point without a factor.
    clip_images: true if noisy images are clipped to [0, 1].
    clip: norm that dp_gaussian clips what is sent to, or dp_examples and dp_steps the term of
      each example; 0 without those defences.
    noise_multiplier: standard deviation of the noise of dp_gaussian, or of the others on the
      sum of the terms, in clips; 0 clips alone.
  """

  points: str = plain(UNDEFENDED, column='defence', flag='defences')
  scale: float = number(0.0, POSITIVE, column='noise_scale', flag='noise_scales')
  mean: float = number(0.0, REAL, column='noise_mean', flag='noise_means')
  clip_images: bool = plain(False, column='clip_noisy_images')
  clip: float = number(0.0, POSITIVE, flag='clips')
  noise_multiplier: float = number(0.0, POSITIVE, flag='noise_multipliers')

  def __post_init__(self):
    super().__post_init__()
    named = {*parse_defence(self.points)}
    if named & {*NOISES} and not (self.scale or self.mean):
      raise InputError(f'defence {self.points!r} needs a positive scale: give --noise_scales')
    if named & {*MECHANISMS} and not self.clip:
      raise InputError(f'defence {self.points!r} needs a clip above 0: give --clips')
    if self.noise_multiplier and not self.clip:
      multiplier = self.noise_multiplier
      raise InputError(f'a noise multiplier of {multiplier:g} needs a clip: give --clips')

  @property
  def learners(self) -> int:
    """The number of learners whose messages are seen as one sum; 1 for no sum."""
    return int(parse_defence(self.points).get(AGGREGATE, 1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Game(Section):
  """The membership game: what is guessed, what the adversary is given, how often.

  Attributes:
    target: set of the task that is attacked: query or support.
    withheld: knowledge that the adversary lacks though its attack would use it: none, or one or
      several of classes, defence and query_set, as in classes+query_set.
    references: public images of each class that the adversary has, or all if there are fewer;
      None for an attack that uses none.
    assumed_order: order of the inner loop that the adversary simulates; 0 for the true one.
    learners: task-learners of a trial: with 1 membership is guessed (local game), with more
      the learner as well (global game).
    non_members: class of an image that is no member; or the other set, of which it is one.
    epoch: epochs of meta-training before the attack.
    participations: gradients that each task sends, one at each of the last so many epochs;
      calibration trials weigh what an attack makes of them. They are no part of the training.
    learning_epoch: epochs of meta-training after which learning is measured, where they are
      more than those before the attack; -1: an untrained model's is not.
    pool: images of the reported trials: victims, or calibration to tune an attack.
    trials: reported trials of a cell, half of them members.
    calibration_trials: trials that choose the threshold, on other images, where it is not
      known beforehand.
  """

  target: str = choice('query', TARGETS, flag='targets')
  withheld: str = plain('none')
  references: int | None = number(1000, Bounds(2, 10_000_000, 'images of a class'))
  assumed_order: int = choice(0, (0, 1, 2), flag='assumed_orders')
  learners: int = number(1, Bounds(1, 10_000, 'learners'))
  non_members: str = choice('same_class', [*NON_MEMBERS])
  epoch: int = number(0, Bounds(0, 1_000_000, 'epochs'), flag='epochs')
  participations: int = number(1, Bounds(1, 10_000, 'gradients'))
  learning_epoch: int = number(-1, Bounds(-1, 1_000_000, 'epochs'), flag='learning_epochs')
  pool: str = choice('victims', POOLS)
  trials: int = number(200, Bounds(2, 10_000_000, 'trials'))
  calibration_trials: int = number(100, Bounds(0, 10_000_000, 'trials'))

  def __post_init__(self):
    super().__post_init__()
    for name in self.withheld_names:
      if name not in WITHHOLDABLE:
        raise unknown('name of what is withheld', name, ('none', *WITHHOLDABLE))
    if self.withheld != withheld_text(self.withheld_names):
      raise InputError(
        f'withheld must be {withheld_text(self.withheld_names)!r}, not {self.withheld!r}'
      )

  @property
  def withheld_names(self) -> frozenset[str]:
    """The names of what is withheld."""
    return frozenset(self.withheld.split(JOINT)) - {'none'}


def withheld_text(names: frozenset[str]) -> str:
  """Names of what is withheld as they are typed, in the order of the alphabet."""
  return JOINT.join(sorted(names)) or 'none'


@dataclasses.dataclass(frozen=True, kw_only=True)
class Execution(Section):
  """The execution settings that the numbers of a cell depend on.

  Attributes:
    chunk: trials that are computed together. The signs of an optimiser's steps amplify
      rounding, which depends on it.
    code: key of the code that computes the cell; see `provenance.code_key`.
  """

  chunk: int = number(2, Bounds(1, 1_000_000, 'trials'), flag='')
  code: str = plain('', flag='')


SECTIONS: dict[str, Any] = {
  'data': Data,
  'model': Model,
  'task': Task,
  'game': Game,
  'inner': Inner,
  'defence': Defence,
  'execution': Execution,
}
