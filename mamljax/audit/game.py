"""The local membership game of section IV-A: guess whether an image is in a learner's data."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.observation import Candidate, Observation
from mamljax.defences import Defence
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop
from mamljax.tasks import make_task, sample_images
from mamljax.types import LossFn, Params, Pool, Task


class Trial(NamedTuple):
  """One round of the game as the challenger sees it.

  Attributes:
    task: the task-learner's private data.
    candidate: the image asked about, with the slot of its class.
    member: the truth b: whether the candidate is in the targeted set.
  """

  task: Task
  candidate: Candidate
  member: jax.Array


def draw_trial(
  key: jax.Array, pool: Pool, member: jax.Array, *, ways: int, shots: int, target: str
) -> Trial:
  """Draws a task and a candidate.

  A non-member is another image of the same class, in neither set of the task: telling
  classes apart is the easier game.

  Args:
    key: a random key.
    pool: the victims' images, at least 2 * shots + 1 of each class.
    member: the truth b, a boolean.
    ways: classes of the task.
    shots: images of each class in each of its two sets.
    target: 'query' or 'support', the set that is attacked.

  Returns:
    The trial. The candidate's slot and, for a member, its place in the slot are uniform.
  """
  key_images, key_label, key_shot = jax.random.split(key, 3)
  images, _ = sample_images(key_images, pool, ways=ways, per_class=2 * shots + 1)
  label = jax.random.randint(key_label, (), 0, ways)
  shot = jax.random.randint(key_shot, (), 0, shots)
  place = jnp.where(member, shot + (shots if target == 'query' else 0), 2 * shots)
  candidate = Candidate(images[label, place], label)
  return Trial(make_task(images, shots=shots), candidate, member)


def observe(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  defence: Defence,
  requires: frozenset[str] = frozenset(),
) -> Observation:
  """Lets the task-learner send its gradient, and shows the adversary what it may see.

  Args:
    key: a random key, for the defence's noise.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    task: the private data.
    inner: how the learner adapts.
    defence: how it defends itself.
    requires: what the attack declares that it must know: 'query_set' or nothing.
  """
  return Observation(
    gradient=send_gradient(key, loss_fn, params, task, inner, defence=defence),
    support_labels=task.support.labels,
    query_labels=task.query.labels,
    query_set=task.query if 'query_set' in requires else None,
    defence=defence,
  )
