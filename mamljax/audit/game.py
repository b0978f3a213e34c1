"""The membership game of section IV-A, in its global form, of which the local one is a case.

The challenger draws the tasks of T task-learners, a learner a and a bit b. If b is 1, the
candidate is an image of the targeted set of learner a, otherwise it is in no learner's data
(or, to ask whether an attack tells the two sets of a task apart, in the other set of a). The
adversary receives the gradient of every learner. In the global game it guesses a and b; in the
local game there is one learner, and it guesses b.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.knowledge import Candidate, Observation
from mamljax.defences import AnyDefence
from mamljax.errors import InputError
from mamljax.learner import Sent, read_message, send
from mamljax.maml import Inner
from mamljax.tasks import check_ways, make_task, sample_rows, take_images
from mamljax.types import LossFn, Params, Pool, Task

_OTHERS = 1  # a stream of randomness beside those of the learners' classes
NON_MEMBERS = ('same_class', 'any_class', 'other_set')


class Trial(NamedTuple):
  """One round of the game, with the truth that only the challenger knows.

  Attributes:
    tasks: the private data of each learner, with a leading axis [learners].
    candidates: the candidate image with its slot in each learner's task, with a leading axis
      [learners].
    member: b, a boolean: True if the candidate is in the targeted set of learner a.
    learner: a, an integer; without meaning for a non-member.
    classes: the class of each slot, integers [learners, ways].
    place: the index in the targeted set of learner a at which a member stands, and at which a
      non-member would stand if it were one; an integer.
    other: the image at `place` under the other hypothesis: the image that replaces a member,
      or that a non-member would replace.
    others: the private data of further learners, whose messages are seen in one sum with that
      of the only one that is attacked, with a leading axis; None where there are none.
  """

  tasks: Task
  candidates: Candidate
  member: jax.Array
  learner: jax.Array
  classes: jax.Array
  place: jax.Array
  other: jax.Array
  others: Task | None = None


class Places(NamedTuple):
  """A trial by the rows of a pool that its images are in; the other fields are the trial's.

  Attributes:
    tasks: rows of the learners' images, support before query, [learners, ways, 2 * shots].
    candidate: the row of the candidate.
    slots: the slot of the candidate in each learner's task [learners].
    member: b.
    learner: a.
    classes: the class of each slot [learners, ways].
    place: the index in the targeted set.
    other: the row of the image at `place` under the other hypothesis.
    others: rows of the images of further learners in the same sum, as in `tasks`; there may be
      none of them.
  """

  tasks: jax.Array
  candidate: jax.Array
  slots: jax.Array
  member: jax.Array
  learner: jax.Array
  classes: jax.Array
  place: jax.Array
  other: jax.Array
  others: jax.Array


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
  others: int = 0,
) -> Trial:
  """Draws a trial: the learners' tasks and a candidate.

  Every task has the candidate's class, since its absence would exclude a learner. No two tasks
  share an image, since a member would otherwise be in both.

  Args:
    key: a random key.
    pool: the victims' images, at least 2 * shots * (learners + others) + 1 of each class.
    member: the truth b, a boolean.
    ways: number of classes of a task.
    shots: number of images of each class in each set of a task.
    target: the set that is attacked, 'query' or 'support'.
    learners: T, the number of task-learners.
    non_members: a non-member: of 'same_class', that of its slot, or of 'any_class', drawn from
      all classes, which makes the game easier; or a member of the 'other_set' of learner a, of
      the same slot, which makes it harder.
    others: further learners, of any classes, whose messages are summed up with that of the only
      one; for the local game.

  Returns:
    The trial. The slot of the candidate, and the place of a member in it, are uniform.

  Raises:
    InputError: if the pool has too few classes or, where its counts are not traced, too few
      images of a class, or if an argument is not among the values above.
  """
  check_rules(pool, ways, shots, learners=learners, others=others)
  options: Any = {'target': target, 'learners': learners, 'non_members': non_members}
  options |= {'others': others}
  places = draw_places(key, pool, member, ways=ways, shots=shots, **options)
  return take_trial(pool, places, shots=shots)


def check_rules(pool: Pool, ways: int, shots: int, *, learners: int, others: int = 0) -> None:
  """Refuses a pool that is too small, and a sum in the global game; see `draw_trial`."""
  checks.whole('shots', shots, least=1)
  checks.whole('learners', learners, least=1)
  check_ways(pool, ways)
  if others and learners > 1:
    raise InputError(f'the sum of {others + 1} learners is for the local game, learners=1')
  checks.pool(pool, per_class=2 * shots * (learners + others) + 1)


def draw_places(
  key: jax.Array,
  pool: Pool,
  member: jax.Array,
  *,
  ways: int,
  shots: int,
  target: str,
  learners: int = 1,
  non_members: str = 'same_class',
  others: int = 0,
) -> Places:
  """Draws where the images of a trial are: arguments as in `draw_trial`.

  No image is looked at, so that one program draws from pools of any size.
  """
  checks.one_of('target', target, checks.TARGETS)
  checks.one_of('kind of non-members', non_members, NON_MEMBERS)
  key_rows, key_classes, key_learner, key_place, key_foreign = jax.random.split(key, 5)
  total = pool.counts.shape[0]
  classes, slots = _draw_classes(key_classes, total, ways=ways, learners=learners)
  drawn = _beside_others(key_classes, classes, total, count=others)
  task_rows, spare_rows = _draw_rows(key_rows, pool, drawn, shots=shots)
  learner = jax.random.randint(key_learner, (), 0, learners)
  shot = jax.random.randint(key_place, (), 0, shots)
  column = shot + (shots if target == 'query' else 0)
  random_class = jax.random.randint(key_foreign, (), 0, total)
  outside = random_class if non_members == 'any_class' else classes[0, slots[0]]
  of_slot = task_rows[learner, slots[learner]]
  elsewhere = of_slot[(column + shots) % (2 * shots)]
  non_member = elsewhere if non_members == 'other_set' else spare_rows[outside]
  pair = jnp.stack([of_slot[column], non_member])
  row, other_row = jnp.where(member, pair, pair[::-1])
  place = slots[learner] * shots + shot
  own, beside = task_rows[:learners], task_rows[learners:]
  return Places(own, row, slots, member, learner, classes, place, other_row, beside)


def take_trial(pool: Pool, places: Places, *, shots: int) -> Trial:
  """The trial whose images are in some rows of a pool."""
  image, learners = take_images(pool, places.candidate), len(places.slots)
  tasks = jax.vmap(lambda rows: make_task(take_images(pool, rows), shots=shots))
  return Trial(
    tasks=tasks(places.tasks),
    candidates=Candidate(jnp.broadcast_to(image, (learners, *image.shape)), places.slots),
    member=places.member,
    learner=places.learner,
    classes=places.classes,
    place=places.place,
    other=take_images(pool, places.other),
    others=tasks(places.others) if len(places.others) else None,
  )


def _draw_classes(
  key: jax.Array, total: int, *, ways: int, learners: int
) -> tuple[jax.Array, jax.Array]:
  """The classes of each learner's slots [learners, ways], and the slot of a shared class."""
  key_classes, key_slots = jax.random.split(key)
  orders = jax.vmap(lambda key: jax.random.permutation(key, total))
  classes = orders(jax.random.split(key_classes, learners))[:, :ways]
  slots = jax.random.randint(key_slots, (learners,), 0, ways)
  shared = classes[0, slots[0]]
  is_shared = classes == shared
  # A learner without the shared class has it in the slot that was drawn.
  slots = jnp.where(is_shared.any(axis=1), is_shared.argmax(axis=1), slots)
  return classes.at[jnp.arange(learners), slots].set(shared), slots


def _beside_others(key: jax.Array, classes: jax.Array, total: int, *, count: int) -> jax.Array:
  """The classes of all learners' slots, others appended: they need not have the candidate's."""
  if not count:
    return classes
  keys = jax.random.split(jax.random.fold_in(key, _OTHERS), count)
  beside = jax.vmap(lambda key: jax.random.permutation(key, total))(keys)
  return jnp.concatenate([classes, beside[:, : classes.shape[1]]])


def _draw_rows(
  key: jax.Array, pool: Pool, classes: jax.Array, *, shots: int
) -> tuple[jax.Array, jax.Array]:
  """Rows of the learners' images [learners, ways, 2 * shots], and a spare one of each class."""
  learners, total = classes.shape[0], pool.counts.shape[0]
  per_class = 2 * shots * learners + 1
  rows = sample_rows(key, pool, jnp.arange(total), per_class=per_class)
  by_learner = rows[:, :-1].reshape(total, learners, 2 * shots)
  return by_learner[classes, jnp.arange(learners)[:, None]], rows[:, -1]


def observe(
  key: jax.Array,
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  defence: AnyDefence | None = None,
  others: Task | None = None,
  classes: jax.Array | None = None,
  requires: frozenset[str] = frozenset(),
) -> Observation:
  """Lets one task-learner send its gradient; returns the adversary's observation.

  Args:
    key: a random key, for the defence's noise.
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    task: the private data.
    inner: the inner loop, or the learner.
    defence: the learner's defence, one of its own by default.
    others: the tasks of the other learners of a sum, see `send_gradient`.
    classes: integers [ways], the class of each slot.
    requires: the optional fields of the observation that the attack requires: 'query_set',
      'classes'.
  """
  sent = send(key, loss_fn, params, task, inner, defence=defence, others=others)
  return show(sent, task, inner=inner, classes=classes, requires=requires)


def show(
  sent: Sent,
  task: Task,
  *,
  inner: Inner,
  classes: jax.Array | None = None,
  requires: frozenset[str] = frozenset(),
) -> Observation:
  """The observation of a message that was sent; other arguments as in `observe`."""
  gradient, rates = read_message(sent.gradient, inner)
  return Observation(
    gradient=gradient,
    support_labels=task.support.labels,
    query_labels=task.query.labels,
    query_set=task.query if 'query_set' in requires else None,
    classes=classes if 'classes' in requires else None,
    rates=rates,
  )


def show_required(seen: Observation, needs: frozenset[str]) -> Observation:
  """The part of an observation that an attack requires."""
  return seen._replace(
    query_set=seen.query_set if 'query_set' in needs else None,
    classes=seen.classes if 'classes' in needs else None,
  )
