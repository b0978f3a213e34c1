"""The global game is fair: one learner holds the member, and only what it sends says which."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.audit.game import Trial, draw_places, draw_trial
from tests.audit.pools import index, make_pool

WAYS, SHOTS, LEARNERS, TRIALS = 3, 2, 3, 600
COUNTS = np.array([13, 16, 14, 15, 13])  # the fewest exactly 2 * SHOTS * LEARNERS + 1
CLASSES = len(COUNTS)
CLASS_OF = np.repeat(np.arange(CLASSES), COUNTS)
GAMES = [('query', 'same_class'), ('support', 'any_class')]  # each takes seconds to compile


@functools.partial(jax.jit, static_argnames=('target', 'non_members'))
def draw(keys: jax.Array, member: jax.Array, *, target: str, non_members: str) -> Trial:
  """Trials with one truth, [trials, learners]."""
  one = functools.partial(
    draw_trial,
    ways=WAYS,
    shots=SHOTS,
    learners=LEARNERS,
    target=target,
    non_members=non_members,
  )
  return jax.vmap(lambda key: one(key, make_pool(COUNTS), member))(keys)


@functools.cache
def trials(member: bool, target: str, non_members: str) -> Trial:
  """Many trials, of the same keys whatever the rules."""
  keys = jax.random.split(jax.random.key(0), TRIALS)
  return draw(keys, jnp.asarray(member), target=target, non_members=non_members)


def sets(trial: Trial, target: str) -> tuple[np.ndarray, np.ndarray]:
  """The images of the targeted sets and of the others, [trials, learners, WAYS * SHOTS]."""
  support, query = index(trial.tasks.support.images), index(trial.tasks.query.images)
  return (query, support) if target == 'query' else (support, query)


def asked(trial: Trial) -> np.ndarray:
  """The image that is asked about, [trials]: all learners are asked about the same."""
  images = index(trial.candidates.image)
  assert images.shape == (TRIALS, LEARNERS)
  assert (images == images[:, :1]).all()
  return images[:, 0]


def slot_classes(trial: Trial) -> np.ndarray:
  """The class of each slot, [trials, learners, ways]: the same in both sets."""
  both = np.stack([index(batch.images) for batch in trial.tasks])
  classes = CLASS_OF[both].reshape(2, TRIALS, LEARNERS, WAYS, SHOTS)
  assert (classes == classes[:1, ..., :1]).all()
  return classes[0, ..., 0]


def asked_slots(trial: Trial) -> np.ndarray:
  """The class of the slot that the candidate is put in, [trials, learners]."""
  slots = np.asarray(trial.candidates.label)[..., None]
  return np.take_along_axis(slot_classes(trial), slots, axis=-1)[..., 0]


def assert_uniform(numbers: np.ndarray, total: int) -> None:
  """A chi-square test that a fair draw of 0..total-1 fails once in a thousand seeds."""
  assert stats.chisquare(np.bincount(numbers.ravel(), minlength=total)).pvalue > 0.001


@pytest.mark.parametrize(
  ('member', 'target', 'non_members'),
  [(True, *GAMES[0]), (False, *GAMES[0]), (True, *GAMES[1])],
)
def test_all_learners_hold_the_candidates_class_in_the_slot_said(member, target, non_members):
  """A learner without the class would be excluded at a glance: the game would be smaller."""
  drawn = trials(member, target, non_members)
  np.testing.assert_array_equal(
    asked_slots(drawn), np.tile(CLASS_OF[asked(drawn)], (LEARNERS, 1)).T
  )


@pytest.mark.parametrize(('target', 'non_members'), GAMES)
def test_no_image_is_in_two_tasks(target, non_members):
  """Else a member of one learner is one of another's, and 'which one' has two answers."""
  drawn = trials(True, target, non_members)
  held = np.concatenate(sets(drawn, target), axis=-1).reshape(TRIALS, -1)
  assert all(len(set(row)) == LEARNERS * 2 * WAYS * SHOTS for row in held)


@pytest.mark.parametrize(('target', 'non_members'), GAMES)
def test_a_member_is_in_the_targeted_set_of_its_learner_alone(target, non_members):
  """Else finding the right image at the right learner would count as a mistake."""
  drawn = trials(True, target, non_members)
  targeted, other = (held == asked(drawn)[:, None, None] for held in sets(drawn, target))
  expected = np.arange(LEARNERS) == np.asarray(drawn.learner)[:, None]
  np.testing.assert_array_equal(targeted.sum(axis=-1), expected)
  assert not other.any()


@pytest.mark.parametrize(('target', 'non_members'), GAMES)
def test_a_non_member_is_in_nobodys_data(target, non_members):
  """Else a 'false alarm' would be a find."""
  drawn = trials(False, target, non_members)
  held = np.concatenate(sets(drawn, target), axis=-1)
  assert not (held == asked(drawn)[:, None, None]).any()


@pytest.mark.parametrize('member', [True, False])
def test_the_learner_and_all_slots_are_uniform(member):
  """A favourite learner or slot could be named without looking at a gradient."""
  drawn = trials(member, 'query', 'same_class')
  slots, learner = np.asarray(drawn.candidates.label), np.asarray(drawn.learner)
  assert_uniform(learner, LEARNERS)
  for of_learner in slots.T:
    assert_uniform(of_learner, WAYS)
    assert_uniform(learner * WAYS + of_learner, LEARNERS * WAYS)


def test_each_learner_has_different_classes_all_equally_likely():
  """Putting the shared class into every task must not double it, nor show in the others."""
  classes = slot_classes(trials(True, 'query', 'same_class'))
  ordered = np.sort(classes, axis=-1)
  assert (ordered[..., 1:] != ordered[..., :-1]).all()
  for learner in range(LEARNERS):
    for slot in range(WAYS):
      assert_uniform(classes[:, learner, slot], CLASSES)


def test_any_class_means_those_outside_the_task_too():
  """The easier game must be exactly that: a class drawn blindly, right one time in five."""
  drawn = trials(False, 'support', 'any_class')
  label = CLASS_OF[asked(drawn)]
  assert_uniform(label, CLASSES)
  same = int(np.sum(label == asked_slots(drawn)[:, 0]))
  within = int(np.sum(slot_classes(drawn)[:, 0] == label[:, None]))
  assert stats.binomtest(same, TRIALS, 1 / CLASSES).pvalue > 0.001
  assert stats.binomtest(within, TRIALS, WAYS / CLASSES).pvalue > 0.001


def test_a_non_member_of_the_other_set_is_there_alone():
  """Else an attack that takes one set of a task for the other would pass for right."""
  key, pool = jax.random.key(0), make_pool(COUNTS)
  options: Any = {'ways': WAYS, 'shots': SHOTS, 'target': 'support', 'non_members': 'other_set'}
  places = jax.jit(
    jax.vmap(lambda key: draw_places(key, pool, jnp.asarray(False), learners=3, **options))
  )(jax.random.split(key, TRIALS))
  rows, asked_row = np.asarray(places.tasks), np.asarray(places.candidate)
  there = rows == asked_row[:, None, None, None]
  assert (there.sum(axis=(1, 2, 3)) == 1).all()
  trial, learner, slot, column = there.nonzero()
  np.testing.assert_array_equal(learner, places.learner)
  np.testing.assert_array_equal(slot, np.asarray(places.slots)[trial, learner])
  assert (column >= SHOTS).all()


def test_where_non_members_come_from_changes_no_task():
  """Else a comparison of the two games would be one of different tasks."""
  same, other = (trials(False, *game) for game in GAMES)
  assert jax.tree.all(jax.tree.map(np.array_equal, same.tasks, other.tasks))
  assert np.array_equal(same.candidates.label, other.candidates.label)
  assert np.array_equal(same.learner, other.learner)
  assert not np.array_equal(asked(same), asked(other))
