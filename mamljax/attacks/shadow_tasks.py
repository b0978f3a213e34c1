"""Shadow tasks: whole tasks of public images, sent as a learner sends its own.

A learner's protocol and defence are published, so an adversary can play its part: adapt, defend
and send, with images whose membership it knows. (Shadow models: Shokri et al., 2017. There a
shadow is a trained model; here it is one message.)
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.gaussian.sums import learners_known
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation, known_ways
from mamljax.errors import InputError
from mamljax.learner import adapt_defended, read_message, send
from mamljax.maml import Inner
from mamljax.tasks import make_task, sample_images, sample_task
from mamljax.types import Params, Pool, Task

_OTHERS = 1  # a stream of randomness beside those of a task


class Shadow(NamedTuple):
  """A shadow task as the adversary would observe it, and candidates whose truth it knows.

  Attributes:
    observation: of the message.
    candidates: with a leading axis [2 * pairs]: images of the targeted set, then as many that
      are in neither set, in the same slots.
  """

  observation: Observation
  candidates: Candidate


def draw_shadow_task(key: jax.Array, knowledge: Knowledge, pool: Pool, *, pairs: int) -> Shadow:
  """Draws a task of public images, and sends what a learner would send of it.

  Args:
    key: a random key.
    knowledge: its inner loop, ways and shots are known; both sets have as many shots.
    pool: public images, more than 2 * shots of each class.
    pairs: members to ask about, with repeats if the set has fewer.

  Raises:
    InputError: if something of that is not known, or the pool has too few images.
  """
  inner = _known_inner(knowledge)
  key_images, key_send, key_places = jax.random.split(key, 3)
  shots, ways = knowledge.shots, known_ways(knowledge)
  images, _ = sample_images(key_images, pool, ways=ways, per_class=2 * shots + 1)
  task = make_task(images, shots=shots)
  targeted = task.query if knowledge.target == 'query' else task.support
  order = jax.random.permutation(key_places, ways * shots)
  places = order[jnp.arange(pairs) % (ways * shots)]
  labels = targeted.labels[places]
  asked = jnp.concatenate([targeted.images[places], images[labels, -1]])
  others = _draw_others(jax.random.fold_in(key, _OTHERS), knowledge, pool)
  observation = _observe(key_send, knowledge, inner, task, others)
  return Shadow(observation, Candidate(asked, jnp.tile(labels, 2)))


def draw_adapted(key: jax.Array, knowledge: Knowledge, pool: Pool) -> Params:
  """The parameters theta of a learner, with its defence, that has adapted to public images.

  Args:
    key: a random key.
    knowledge: its inner loop, ways and shots are known.
    pool: public images, 2 * shots of each class or more.

  Raises:
    InputError: as `draw_shadow_task` does.
  """
  inner = _known_inner(knowledge)
  key_task, key_adapt = jax.random.split(key)
  task = sample_task(key_task, pool, ways=known_ways(knowledge), shots=knowledge.shots)
  options: Any = {'defence': knowledge.defence}
  known = knowledge.loss_fn, knowledge.params
  return adapt_defended(key_adapt, *known, task.support, inner, **options)


def _known_inner(knowledge: Knowledge) -> Inner:
  """The inner loop of the learners.

  Raises:
    InputError: if it is not known, or the shots are not.
  """
  if knowledge.inner is None or not knowledge.shots:
    raise InputError('shadow tasks cannot be sent: the inner loop or the shots are not known')
  return knowledge.inner


def _draw_others(key: jax.Array, knowledge: Knowledge, pool: Pool) -> Task | None:
  """The tasks of the others in a sum of learners; None where each message is seen alone."""
  count = learners_known(knowledge) - 1
  if not count:
    return None
  draw = functools.partial(sample_task, pool=pool, ways=knowledge.ways, shots=knowledge.shots)
  return jax.vmap(draw)(jax.random.split(key, count))


def _observe(
  key: jax.Array, knowledge: Knowledge, inner: Inner, task: Task, others: Task | None
) -> Observation:
  """The message of a learner with that task, with the query set where it is known."""
  options: Any = {'defence': knowledge.defence, 'others': others}
  sent = send(key, knowledge.loss_fn, knowledge.params, task, inner, **options)
  gradient, rates = read_message(sent.gradient, inner)
  is_shown = knowledge.target == 'support' and 'query_set' not in knowledge.withheld
  return Observation(
    gradient=gradient,
    support_labels=task.support.labels,
    query_labels=task.query.labels,
    query_set=task.query if is_shown else None,
    rates=rates,
  )
