"""Federated meta-training: task-learners send meta-gradients, the meta-learner averages them.

In each round, `tasks_per_round` task-learners draw a task each and send their defended
meta-gradients; the meta-learner takes one step against their mean (equation 3).
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax import checks
from mamljax.checks import Checked, count
from mamljax.defences import Defence, learners_of
from mamljax.errors import InputError
from mamljax.learner import Sent, resolve_defence, send
from mamljax.maml import Inner, adapt, as_learner
from mamljax.networks import CrossEntropy, accuracy
from mamljax.numerics import is_finite, like
from mamljax.protocol.messages import as_gradient
from mamljax.tasks import sample_task
from mamljax.types import Batch, LossFn, Params, Pool

_OTHERS = 1  # a stream of randomness beside those of a learner


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Checked):
  """The configuration of a federated meta-training.

  Attributes:
    loss_fn: the loss of a task, `CrossEntropy` of a network or any other that is a mean over
      images which do not see each other: `correct` says how these are tested.
    inner: the inner loop of the task-learners, or their declaration as a `Learner` that sends
      no gradient in rates, which nobody would train.
    defence: the defence of the task-learners, if they have none of their own.
    learning_rate: step size of the meta-learner's optimiser, Adam.
    ways: number of classes of a task.
    shots: number of images of each class in each set of a task.
    tasks_per_round: T, the number of task-learners in a round.
    chunk: number of task-learners whose gradients are computed together. 0 stands for one on
      a CPU, where its arrays fit a core's cache, and for all elsewhere. Results agree to
      rounding.
  """

  loss_fn: LossFn = dataclasses.field(metadata={'static': True})
  inner: Inner
  defence: Defence = dataclasses.field(default_factory=Defence)
  learning_rate: float | jax.Array = 1e-3
  ways: int = dataclasses.field(metadata=count(1))
  shots: int = dataclasses.field(metadata=count(1))
  tasks_per_round: int = dataclasses.field(default=16, metadata=count(1))
  chunk: int = dataclasses.field(default=0, metadata=count(0))


class State(NamedTuple):
  """The state of a meta-training: all that a checkpoint must hold to continue it.

  Attributes:
    params: the meta-knowledge w.
    optimizer: the state of the meta-learner's optimiser.
    round: the number of rounds taken, an integer.
  """

  params: Params
  optimizer: optax.OptState
  round: jax.Array


def init(params: Params) -> State:
  """The state before the first round."""
  return State(params, optax.scale_by_adam().init(params), jnp.zeros((), jnp.int32))


def train(
  key: jax.Array, state: State, pool: Pool, training: Training, *, rounds: int
) -> tuple[State, jax.Array]:
  """Takes `rounds` more rounds, in one scan.

  Round r has the key `fold_in(key, r)`, so that several calls with one key take the same
  rounds as one call.

  Args:
    key: a random key, the same in all calls of one training.
    state: the state to continue from.
    pool: the images from which tasks are drawn, at least 2 * shots of each class.
    training: the configuration.
    rounds: the number of rounds to take.

  Returns:
    The new state, and the norm of the mean gradient of each round, [rounds]. It is NaN in a
    round with an adaptation that diverges, though the gradient sent may be finite.

  Raises:
    InputError: as `sample_task` does.
  """
  checks.whole('rounds', rounds, least=0)
  checks.pool(pool, per_class=2 * training.shots)
  default_chunk = 1 if jax.default_backend() == 'cpu' else training.tasks_per_round

  messages = _messages(training)

  def take_round(state: State, _):
    keys = jax.random.split(jax.random.fold_in(key, state.round), messages)
    learn = functools.partial(_one_learner, state.params, pool, training)
    sent = jax.lax.map(learn, keys, batch_size=training.chunk or default_chunk)
    mean = jax.tree.map(lambda g: g.mean(axis=0), sent.gradient)
    updates, optimizer = optax.scale_by_adam().update(mean, state.optimizer)
    updates = jax.tree.map(lambda u: like(u, -training.learning_rate) * u, updates)
    params = optax.apply_updates(state.params, updates)
    norm = jnp.where(sent.is_adapted.all(), optax.tree.norm(mean), jnp.nan)
    return State(params, optimizer, state.round + 1), norm

  return jax.lax.scan(take_round, state, length=rounds)


def _summed(training: Training) -> int:
  """The number of learners whose messages reach the meta-learner as one sum."""
  return learners_of(resolve_defence(training.inner, training.defence).outgoing)


def _messages(training: Training) -> int:
  """The number of messages that the meta-learner receives in a round.

  Raises:
    InputError: if the learners of a round do not make up whole sums.
  """
  summed = _summed(training)
  if training.tasks_per_round % summed:
    raise InputError(
      f'{training.tasks_per_round} learners of a round are no multiple of the {summed} of a sum'
    )
  return training.tasks_per_round // summed


def _one_learner(params: Params, pool: Pool, training: Training, key: jax.Array) -> Sent:
  """Draws a task and sends its meta-gradient, or a message that is read as one.

  Where messages are summed up before they are received, those of several learners.
  """
  learner = as_learner(training.inner)
  if learner.sends_rates or not learner.kind.is_gradient:
    also = 'a gradient in rates' if learner.sends_rates else 'a function that is no gradient'
    raise InputError(f'training moves w against mean gradients, and learners send {also}')
  key_task, key_send = jax.random.split(key)
  draw = functools.partial(sample_task, pool=pool, ways=training.ways, shots=training.shots)
  options: Any = {'defence': training.defence}
  if (summed := _summed(training)) > 1:
    beside = jax.random.split(jax.random.fold_in(key, _OTHERS), summed - 1)
    options['others'] = jax.vmap(draw)(beside)
  sent = send(key_send, training.loss_fn, params, draw(key_task), learner, **options)
  return sent._replace(gradient=as_gradient(learner, sent.gradient))


def meta_test(
  key: jax.Array, params: Params, pool: Pool, training: Training, *, tasks: int, batch: int = 50
) -> jax.Array:
  """The query accuracies of new tasks after adaptation.

  The adaptation is undefended, since nothing is sent.

  Args:
    key: a random key.
    params: the meta-knowledge w.
    pool: images held out from training, at least 2 * shots of each class.
    training: the configuration, with the network, the inner loop and the size of a task.
    tasks: the number of tasks to draw.
    batch: the number of tasks to hold in memory at once.

  Returns:
    float32 [tasks], each in [0, 1], or NaN where the adaptation diverges.

  Raises:
    InputError: as `sample_task` does.
  """
  checks.whole('tasks', tasks, least=1)
  checks.whole('batch', batch, least=1)
  checks.pool(pool, per_class=2 * training.shots)

  def one_task(key: jax.Array) -> jax.Array:
    task = sample_task(key, pool, ways=training.ways, shots=training.shots)
    theta = adapt(training.loss_fn, params, task.support, training.inner)
    right = correct(training.loss_fn, theta, task.query, ways=training.ways)
    return jnp.where(is_finite(theta), right, jnp.nan)

  return jax.lax.map(one_task, jax.random.split(key, tasks), batch_size=batch)


def correct(loss_fn: LossFn, params: Params, batch: Batch, *, ways: int) -> jax.Array:
  """The share of a batch that a model classifies correctly, a scalar in [0, 1].

  The class of an image is that of the greatest logit where the loss is a `CrossEntropy`, and
  otherwise the one as which the image by itself has the least loss: of any cross-entropy that
  is the same. NaN if a logit or a loss is not finite.

  Args:
    loss_fn: the loss of a task.
    params: its parameters.
    batch: images with their slots.
    ways: number of classes of a task.
  """
  if isinstance(loss_fn, CrossEntropy):
    return accuracy(loss_fn.network, params, batch)

  def loss_of(image: jax.Array, label: jax.Array) -> jax.Array:
    return loss_fn(params, Batch(image[None], label[None]))

  slots = jnp.arange(ways, dtype=batch.labels.dtype)
  losses = jax.vmap(jax.vmap(loss_of, (None, 0)), (0, None))(batch.images, slots)
  right = (losses.argmin(axis=-1) == batch.labels).mean()
  return jnp.where(jnp.isfinite(losses).all(), right, jnp.nan)
