"""Setting of an audit: the adversary, the learners, and the shapes of what is sent."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks import Candidate
from mamljax.attacks.base import Attack, required
from mamljax.attacks.knowledge import Knowledge, Observation
from mamljax.audit.game import observe, show_required
from mamljax.audit.playing import check_outputs
from mamljax.audit.trials import EVERYTHING
from mamljax.defences import Defence, learners_of
from mamljax.reports.adversary import Adversary
from mamljax.reports.averaging import is_mean_over_images
from mamljax.tasks import slot_labels
from mamljax.types import Batch, LossFn, Params, Pool, Task


class Setup(NamedTuple):
  """The setting that attacks are chosen for.

  Attributes:
    knowledge: the adversary's, with what it has been given.
    adversary: the threat model.
    inner: the learners' inner loop.
    defence: of the learners, whether the adversary knows it or not.
    seen: the shapes of all that can be observed of a learner.
    shape: of an example: height, width and channels, or features.
    is_separate: False if a loss is no mean over images that do not see each other.
  """

  knowledge: Knowledge
  adversary: Adversary
  inner: Any
  defence: Defence
  seen: Observation
  shape: tuple[int, ...]
  is_separate: bool


Traced = tuple[Callable[..., Any], tuple[Any, ...]]  # a function, and shapes of its arguments


def make_setup(
  knowledge: Knowledge, adversary: Adversary, pool: Pool, *, inner: Any, defence: Defence
) -> Setup:
  """The setting of some learners, none of whom is computed.

  Args:
    knowledge: the adversary's.
    adversary: the threat model.
    pool: images, of which the shape is looked at, and four by the loss.
    inner: the learners' inner loop.
    defence: the learners' defence.

  Raises:
    InputError: if the loss is no scalar, is a sum or has fewer outputs than ways, or a learner
      cannot be traced.
  """
  shape, ways = tuple(pool.images.shape[1:]), knowledge.ways
  check_outputs(knowledge, pool)
  separate = is_mean_over_images(knowledge.loss_fn, knowledge.params, pool, ways=ways)
  function, arguments = sending(knowledge, shape, inner=inner, defence=defence)
  seen = jax.eval_shape(function, *arguments)
  return Setup(knowledge, adversary, inner, defence, seen, shape, separate)


def sending(
  knowledge: Knowledge, shape: tuple[int, ...], *, inner: Any, defence: Defence
) -> Traced:
  """The computation of all that can be observed of a learner."""
  labels = slot_labels(ways=knowledge.ways, shots=knowledge.shots)
  images: Any = jax.ShapeDtypeStruct((len(labels), *shape), jnp.float32)
  batch = Batch(images, labels)
  function = functools.partial(_send, knowledge.loss_fn)
  told = (knowledge.params, inner, defence, Task(batch, batch), jnp.arange(knowledge.ways))
  return function, (_key(), *abstract(told))


def _send(
  loss_fn: LossFn,
  key: jax.Array,
  params: Params,
  inner: Any,
  defence: Defence,
  task: Task,
  classes: jax.Array,
) -> Observation:
  count = learners_of(defence.outgoing) - 1
  others = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), task)
  options: Any = {'defence': defence, 'classes': classes, 'requires': EVERYTHING}
  options |= {'others': others if count else None}
  return observe(key, loss_fn, params, task, inner, **options)


def scoring(attack: Attack, told: Knowledge, setup: Setup) -> Traced:
  """The computation of a score by an attack, preparation included."""
  image = jax.ShapeDtypeStruct(setup.shape, jnp.float32)
  label = jax.ShapeDtypeStruct((), jnp.int32)

  def score(key: jax.Array, known: Knowledge, seen: Observation, *candidate: Any) -> jax.Array:
    prepared: Any = attack.prepare(key, known)
    shown = show_required(seen, required(attack, known))
    return attack.score(key, prepared, shown, Candidate(*candidate))[0]

  return score, (_key(), abstract(told), setup.seen, image, label)


def abstract(tree: Any) -> Any:
  """Shapes and types in place of arrays and numbers."""

  def shape_of(leaf: Any) -> jax.ShapeDtypeStruct:
    return leaf if isinstance(leaf, jax.ShapeDtypeStruct) else jax.eval_shape(jnp.asarray, leaf)

  return jax.tree.map(shape_of, tree)


def _key() -> Any:
  return jax.eval_shape(lambda: jax.random.key(0))
