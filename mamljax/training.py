"""Federated meta-training: task-learners send meta-gradients, the meta-learner averages them.

Each round, `tasks_per_round` task-learners draw a task of their own, send the gradient
that a defence lets out, and the meta-learner takes one step along the mean (equation 3).
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from mamljax import checks
from mamljax.checks import Checked, count
from mamljax.defences import Defence
from mamljax.dtypes import like
from mamljax.finite import is_finite
from mamljax.learner import Sent, send
from mamljax.maml import InnerLoop, adapt
from mamljax.networks import CrossEntropy, accuracy
from mamljax.tasks import sample_task
from mamljax.types import Params, Pool


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Checked):
  """One federated meta-training.

  Attributes:
    loss_fn: the task's loss, of the network that is trained.
    inner: how task-learners adapt.
    defence: what they do before they send.
    learning_rate: the meta-learner's step (Adam).
    ways: classes of a task.
    shots: images of each class in each of its two sets.
    tasks_per_round: T, the task-learners that take part in a round.
    chunk: task-learners whose gradients are computed together; 0: one on a CPU, where they
      fit a core's cache, all of them elsewhere. The same to rounding.
  """

  loss_fn: CrossEntropy = dataclasses.field(metadata={'static': True})
  inner: InnerLoop
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
    optimizer: the outer optimiser's state.
    round: how many rounds it has taken.
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
  """Takes `rounds` more rounds, as one scan.

  Round r draws its randomness from `fold_in(key, r)`: rounds taken in several calls with
  one key are the rounds taken in one.

  Args:
    key: a random key, the same for all calls of one training.
    state: where it stands.
    pool: the images that tasks are drawn from, at least 2 * shots of each class.
    training: what is trained.
    rounds: how many rounds.

  Returns:
    The new state, and the norm of the mean gradient of each round, [rounds]: NaN in a
    round in which an adaptation diverges, though what it sends may be finite.

  Raises:
    InputError: as `sample_task` does.
  """
  checks.whole('rounds', rounds, least=0)
  checks.pool(pool, per_class=2 * training.shots)
  good = 1 if jax.default_backend() == 'cpu' else training.tasks_per_round

  def take_round(state: State, _):
    keys = jax.random.split(jax.random.fold_in(key, state.round), training.tasks_per_round)
    learn = functools.partial(_one_learner, state.params, pool, training)
    sent = jax.lax.map(learn, keys, batch_size=training.chunk or good)
    mean = jax.tree.map(lambda g: g.mean(axis=0), sent.gradient)
    updates, optimizer = optax.scale_by_adam().update(mean, state.optimizer)
    updates = jax.tree.map(lambda u: like(u, -training.learning_rate) * u, updates)
    params = optax.apply_updates(state.params, updates)
    norm = jnp.where(sent.is_adapted.all(), optax.tree.norm(mean), jnp.nan)
    return State(params, optimizer, state.round + 1), norm

  return jax.lax.scan(take_round, state, length=rounds)


def _one_learner(params: Params, pool: Pool, training: Training, key: jax.Array) -> Sent:
  """Draws a task and sends its gradient."""
  key_task, key_send = jax.random.split(key)
  task = sample_task(key_task, pool, ways=training.ways, shots=training.shots)
  return send(
    key_send, training.loss_fn, params, task, training.inner, defence=training.defence
  )


def meta_test(
  key: jax.Array, params: Params, pool: Pool, training: Training, *, tasks: int, batch: int = 50
) -> jax.Array:
  """The query accuracy of new tasks after adaptation.

  Adaptation is the plain inner loop: a defence protects what is sent, and nothing is sent.

  Args:
    key: a random key.
    params: the meta-knowledge w.
    pool: images held out from training, at least 2 * shots of each class.
    training: names the network, the inner loop and the shape of a task.
    tasks: how many tasks to draw.
    batch: how many to hold in memory at once.

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
    right = accuracy(training.loss_fn.network, theta, task.query)
    return jnp.where(is_finite(theta), right, jnp.nan)

  return jax.lax.map(one_task, jax.random.split(key, tasks), batch_size=batch)
