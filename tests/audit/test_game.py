"""The local game is fair: who is a member is as said, and nothing else tells members apart."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax.audit.game import Trial, draw_trial, observe, show
from mamljax.defences import Defence, Gaussian
from mamljax.learner import Sent
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.types import Batch, Params, Task
from tests.audit.pools import index, make_pool

WAYS, SHOTS, TRIALS = 3, 2, 600
COUNTS = np.array([7, 9, 5, 6])  # images of a class, the fewest exactly 2 * SHOTS + 1
CLASS_OF = np.repeat(np.arange(4), COUNTS)
TARGETS = ('query', 'support')


@functools.partial(jax.jit, static_argnames='target')
def draw(keys: jax.Array, member: jax.Array, *, target: str) -> Trial:
  """Trials of the local game, without the axis of their one learner."""
  one = functools.partial(draw_trial, ways=WAYS, shots=SHOTS, target=target)
  drawn = jax.vmap(lambda key: one(key, make_pool(COUNTS), member))(keys)
  tasks, candidates = jax.tree.map(lambda leaf: leaf.squeeze(1), drawn[:2])
  return drawn._replace(tasks=tasks, candidates=candidates)


@functools.cache
def trials(member: bool, target: str) -> Trial:
  """Many trials with one truth."""
  keys = jax.random.split(jax.random.key(0), TRIALS)
  return draw(keys, jnp.asarray(member), target=target)


def sets(trial: Trial, target: str) -> tuple[np.ndarray, np.ndarray]:
  """The images of the targeted set and of the other, [trials, WAYS * SHOTS]."""
  support, query = index(trial.tasks.support.images), index(trial.tasks.query.images)
  return (query, support) if target == 'query' else (support, query)


@pytest.mark.parametrize('target', TARGETS)
def test_a_member_is_in_the_targeted_set_once_and_not_in_the_other(target):
  """A 'member' of the wrong set would make recall a measure of the other attack."""
  drawn = trials(True, target)
  candidate, (targeted, other) = index(drawn.candidates.image), sets(drawn, target)
  assert np.all((targeted == candidate[:, None]).sum(axis=1) == 1)
  assert not (other == candidate[:, None]).any()
  assert drawn.member.all()
  assert not drawn.learner.any()  # there is but one


@pytest.mark.parametrize('target', TARGETS)
def test_a_non_member_is_in_neither_set_but_of_a_class_in_both(target):
  """A non-member of another class is the easier game; one of the sets, a lie."""
  drawn = trials(False, target)
  candidate, (targeted, other) = index(drawn.candidates.image), sets(drawn, target)
  assert not (targeted == candidate[:, None]).any()
  assert not (other == candidate[:, None]).any()
  assert (CLASS_OF[targeted] == CLASS_OF[candidate][:, None]).sum(axis=1).tolist() == (
    [SHOTS] * TRIALS
  )
  assert not drawn.member.any()


@pytest.mark.parametrize('member', [True, False])
@pytest.mark.parametrize('target', TARGETS)
def test_the_place_is_that_of_the_image_that_is_or_would_be_replaced(member, target):
  """The bound puts both images there: elsewhere it would compare other tasks."""
  drawn = trials(member, target)
  targeted, _ = sets(drawn, target)
  inside = index(drawn.candidates.image if member else drawn.other)
  np.testing.assert_array_equal(targeted[np.arange(TRIALS), drawn.place], inside)


@pytest.mark.parametrize('member', [True, False])
@pytest.mark.parametrize('target', TARGETS)
def test_the_candidates_label_is_the_slot_of_its_class(member, target):
  """A wrong label would hand members and non-members alike to the wrong slot."""
  drawn = trials(member, target)
  labels = np.asarray(drawn.tasks.query.labels)
  mine = labels == np.asarray(drawn.candidates.label)[:, None]
  candidate, (targeted, _) = index(drawn.candidates.image), sets(drawn, target)
  np.testing.assert_array_equal(CLASS_OF[targeted][mine], np.repeat(CLASS_OF[candidate], SHOTS))


@pytest.mark.parametrize('target', TARGETS)
def test_the_sets_are_disjoint_and_of_the_right_shape(target):
  """An image in both sets would be two chances to find it."""
  drawn = trials(True, target)
  both = np.concatenate(sets(drawn, target), axis=1)
  assert all(len(set(row)) == 2 * WAYS * SHOTS for row in both)
  labels = np.repeat(np.arange(WAYS), SHOTS)
  assert np.all(drawn.tasks.support.labels == labels)
  assert np.all(drawn.tasks.query.labels == labels)


@pytest.mark.parametrize('member', [True, False])
def test_slots_and_places_are_uniform(member):
  """A favourite slot would be a prior that no attack should be able to use."""
  drawn = trials(member, 'query')
  slots = np.bincount(drawn.candidates.label, minlength=WAYS)
  assert stats.chisquare(slots).pvalue > 0.001
  hit = index(drawn.tasks.query.images) == index(drawn.candidates.image)[:, None]
  if member:
    assert stats.chisquare(hit.sum(axis=0)).pvalue > 0.001


@pytest.mark.parametrize('member', [True, False])
def test_every_image_of_a_class_is_as_likely_a_candidate(member):
  """Members and non-members must come from one distribution, or images alone tell them."""
  drawn = trials(member, 'query')
  candidate = index(drawn.candidates.image)
  for label, count in enumerate(COUNTS):
    seen = np.bincount(candidate[CLASS_OF[candidate] == label], minlength=len(CLASS_OF))
    assert stats.chisquare(seen[label == CLASS_OF]).pvalue > 0.001
    assert seen.sum() > TRIALS / 8
    assert np.count_nonzero(seen) == count


@pytest.mark.parametrize('target', TARGETS)
def test_the_truth_does_not_change_the_task(target):
  """With one key the two worlds must differ in the candidate alone."""
  member, other = trials(True, target), trials(False, target)
  assert jax.tree.all(jax.tree.map(np.array_equal, member.tasks, other.tasks))
  assert np.array_equal(member.candidates.label, other.candidates.label)
  assert np.all(index(member.candidates.image) != index(other.candidates.image))


def test_a_trial_is_fixed_by_its_key():
  """Bit for bit, whatever trials it is drawn among: a resumed sweep must play the same game."""
  drawn, keys = trials(True, 'query'), jax.random.split(jax.random.key(0), TRIALS)
  rolled = draw(jnp.roll(keys, 5), jnp.asarray(True), target='query')
  back = jax.tree.map(lambda leaf: np.roll(leaf, -5, axis=0), rolled)
  assert jax.tree.all(jax.tree.map(np.array_equal, drawn, back))
  assert len(np.unique(index(drawn.tasks.support.images), axis=0)) > TRIALS / 2


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  return jnp.sum((params - batch.images.mean()) ** 2 * (1 + batch.labels.sum()))


def observed(defence: Defence, requires: frozenset[str]):
  """A task and what the adversary sees of it, and the exact gradient."""
  first = jax.tree.map(lambda leaf: leaf[0], trials(True, 'query').tasks)
  task, params, inner = Task(*first), jnp.ones(4), InnerLoop(1, 0.1)
  told = {'defence': defence, 'requires': requires}
  seen = observe(jax.random.key(1), loss_fn, params, task, inner, **told)
  return task, seen, meta_gradient(loss_fn, params, task, inner)


@pytest.mark.parametrize('requires', [frozenset(), frozenset({'query_set'})])
def test_the_adversary_sees_the_gradient_and_what_its_attack_declares(requires):
  """Anything more would make the attack stronger than the paper's adversary."""
  task, seen, exact = observed(Defence(), requires)
  assert jnp.array_equal(seen.gradient, exact)
  assert jnp.array_equal(seen.support_labels, task.support.labels)
  assert jnp.array_equal(seen.query_labels, task.query.labels)
  assert (seen.query_set is task.query) if requires else (seen.query_set is None)
  shown = [leaf for leaf in jax.tree.leaves(seen) if leaf.shape == task.support.images.shape]
  assert not any(np.array_equal(leaf, task.support.images) for leaf in shown)
  assert len(shown) == len(requires)


def test_the_adversary_sees_the_classes_if_declared():
  """Who is not told them must infer them: classes that are always shown spare it that."""
  sent = Sent(jnp.ones(4), jnp.array(True), jnp.array(True))
  task = Task(*jax.tree.map(lambda leaf: leaf[0], trials(True, 'query').tasks))
  classes = jnp.arange(WAYS)
  told = {'inner': InnerLoop(1, 0.1), 'classes': classes}
  assert show(sent, task, requires=frozenset({'classes'}), **told).classes is classes
  assert show(sent, task, **told).classes is None


def test_the_adversary_sees_the_defended_gradient():
  """An adaptive adversary knows the noise's scale beforehand, never the noise."""
  _, seen, exact = observed(Defence(outgoing=Gaussian(0.5)), frozenset({'defence'}))
  assert not jnp.allclose(seen.gradient, exact, atol=1e-3)
