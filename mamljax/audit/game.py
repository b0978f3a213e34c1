"""The membership game of section IV-A, in its global form; the local one has one learner.

The challenger draws T task-learners, one of them (a) and a bit (b). If b is 1 the candidate
is an image of learner a's targeted set, else it is in nobody's data. The adversary sees what
each learner sends. Locally it guesses b, globally both b and a.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.observation import Candidate, Observation
from mamljax.defences import Defence
from mamljax.learner import Sent, send
from mamljax.maml import InnerLoop
from mamljax.tasks import check_ways, make_task, sample_rows, take_images
from mamljax.types import LossFn, Params, Pool, Task

NON_MEMBERS = ('same_class', 'any_class')


class Trial(NamedTuple):
  """One round of the game as the challenger sees it.

  Attributes:
    tasks: the private data of each learner, with a leading axis [learners].
    candidates: the image asked about, with its slot in each learner's task; the same leading
      axis.
    member: the truth b: whether the candidate is in the targeted set of `learner`.
    learner: a, an integer; it means nothing for a non-member.
    classes: the class of each slot, integers [learners, ways].
    place: the image of learner a's targeted set that is the candidate or, for a non-member,
      that it might as well have been; an integer.
    other: the image that would be there if the truth were the other one.
  """

  tasks: Task
  candidates: Candidate
  member: jax.Array
  learner: jax.Array
  classes: jax.Array
  place: jax.Array
  other: jax.Array


def draw_trial(
  key: jax.Array,
  pool: Pool,
  member: jax.Array,
  *,
  ways: int,
  shots: int,
  target: str,
  learners: int = 1,
  non_members: str = 'same_class',
) -> Trial:
  """Draws the learners' tasks and a candidate.

  All tasks hold the candidate's class, or its absence would exclude a learner, and no two
  hold the same image of any class, or a member would be in two tasks.

  Args:
    key: a random key.
    pool: the victims' images, at least 2 * shots * learners + 1 of each class.
    member: the truth b, a boolean.
    ways: classes of a task.
    shots: images of each class in each of its two sets.
    target: 'query' or 'support', the set that is attacked.
    learners: T, the task-learners.
    non_members: 'same_class' draws a non-member from the class of the slot that it is put
      in; 'any_class' from all classes, which makes the easier game.

  Returns:
    The trial. The candidate's slots and, for a member, its place in the slot are uniform.

  Raises:
    InputError: if the pool has too few classes or, where the counts are not traced, images of
      a class, or a name or number is none of those above.
  """
  checks.one_of('target', target, checks.TARGETS)
  checks.one_of('kind of non-members', non_members, NON_MEMBERS)
  checks.whole('shots', shots, least=1)
  checks.whole('learners', learners, least=1)
  check_ways(pool, ways)
  checks.pool(pool, per_class=2 * shots * learners + 1)
  key_rows, key_classes, key_learner, key_place, key_foreign = jax.random.split(key, 5)
  everything = jnp.arange(pool.counts.shape[0])
  rows = sample_rows(key_rows, pool, everything, per_class=2 * shots * learners + 1)
  classes, slots = _draw_classes(key_classes, len(everything), ways=ways, learners=learners)
  owned = rows[:, :-1].reshape(len(everything), learners, 2 * shots)
  owned = owned[classes, jnp.arange(learners)[:, None]]  # [learners, ways, 2 * shots]

  learner = jax.random.randint(key_learner, (), 0, learners)
  nth = jax.random.randint(key_place, (), 0, shots)
  place = nth + (shots if target == 'query' else 0)
  foreign = jax.random.randint(key_foreign, (), 0, len(everything))
  outside = foreign if non_members == 'any_class' else classes[0, slots[0]]
  own, spare = owned[learner, slots[learner], place], rows[outside, -1]
  row, other = jnp.where(member, jnp.stack([own, spare]), jnp.stack([spare, own]))

  tasks = jax.vmap(lambda rows: make_task(take_images(pool, rows), shots=shots))(owned)
  image = take_images(pool, row)
  candidates = Candidate(jnp.broadcast_to(image, (learners, *image.shape)), slots)
  index = slots[learner] * shots + nth
  return Trial(
    tasks, candidates, member, learner, classes, index, other=take_images(pool, other)
  )


def _draw_classes(
  key: jax.Array, total: int, *, ways: int, learners: int
) -> tuple[jax.Array, jax.Array]:
  """The classes of each learner's slots [learners, ways] and the slot of a shared one."""
  key_classes, key_slots = jax.random.split(key)
  orders = jax.vmap(lambda key: jax.random.permutation(key, total))
  classes = orders(jax.random.split(key_classes, learners))[:, :ways]
  slots = jax.random.randint(key_slots, (learners,), 0, ways)
  shared = classes[0, slots[0]]
  has = classes == shared
  # Where it is missing it takes the place of the class in the slot that was drawn.
  slots = jnp.where(has.any(axis=1), has.argmax(axis=1), slots)
  return classes.at[jnp.arange(learners), slots].set(shared), slots


def observe(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: InnerLoop,
  *,
  defence: Defence,
  classes: jax.Array | None = None,
  requires: frozenset[str] = frozenset(),
) -> Observation:
  """Lets one task-learner send its gradient, and shows the adversary what it may see.

  Args:
    key: a random key, for the defence's noise.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    task: the private data.
    inner: how the learner adapts.
    defence: how it defends itself.
    classes: integers [ways], the class of each slot.
    requires: what the attack declares that it must know: of an observation that can be
      'query_set', 'defence' and 'classes'.
  """
  sent = send(key, loss_fn, params, task, inner, defence=defence)
  return show(sent, task, defence=defence, classes=classes, requires=requires)


def show(
  sent: Sent,
  task: Task,
  *,
  defence: Defence,
  classes: jax.Array | None = None,
  requires: frozenset[str] = frozenset(),
) -> Observation:
  """The observation of a gradient that was sent; the arguments are those of `observe`."""
  return Observation(
    gradient=sent.gradient,
    support_labels=task.support.labels,
    query_labels=task.query.labels,
    query_set=task.query if 'query_set' in requires else None,
    defence=defence if 'defence' in requires else None,
    classes=classes if 'classes' in requires else None,
  )
