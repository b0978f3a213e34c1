"""Wrong numbers, labels, names and images are refused at every public door, in one line."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import checks
from mamljax.attacks import ATTACKS, Candidate, Knowledge, Observation, Reconstruction
from mamljax.audit.game import draw_trial
from mamljax.defences import Defence
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop, adapt, meta_gradient
from mamljax.networks import MLP, CrossEntropy, make_network
from mamljax.tasks import make_task, sample_distinct, sample_images, sample_task
from mamljax.training import Training, init, meta_test, train
from mamljax.types import Batch, Pool, Task

KEY = jax.random.key(0)
IMAGES, LABELS = jnp.full((2, 2, 2, 1), 0.5), jnp.arange(2)
GOOD = Batch(IMAGES, LABELS)
LOSS = CrossEntropy(MLP(2))
TRAINING = partial(Training, loss_fn=LOSS, inner=InnerLoop(1, 0.1))
KINDS: list[Any] = [*ATTACKS.values()]
NO_NUMBERS = [True, np.True_, 1.5, 1.0, '1', jnp.int32(1), None]


def make_pool(counts, dtype=jnp.uint8) -> Pool:
  """An image of one pixel, its class, so many times."""
  counts = np.asarray(counts)
  pixels = np.repeat(np.arange(len(counts)), counts).reshape(-1, 1, 1, 1)
  starts = np.cumsum(counts) - counts
  return Pool(*map(jnp.asarray, (pixels.astype(dtype), starts, counts)))


TASKS = TRAINING(ways=2, shots=1)


def bare_loss(params, batch: Batch):
  """A user's own loss, which checks nothing."""
  return (params * batch.images.mean()) ** 2


@pytest.mark.parametrize('steps', [*NO_NUMBERS, 0.1])
def test_steps_and_rate_swapped_are_refused(steps):
  """InnerLoop(0.1, 1) took one step of rate 1, InnerLoop(1.5, 0.1) two, True failed inside."""
  with pytest.raises(ValueError, match='inner steps must be a whole number, not'):
    InnerLoop(steps, 1)


@pytest.mark.parametrize(
  ('make', 'name'),
  [
    (partial(InnerLoop, 1, 0.1), 'order'),
    *[
      (partial(TRAINING, **{'ways': 2, 'shots': 1} | {name: 1}), name)
      for name in ('ways', 'shots', 'tasks_per_round', 'chunk')
    ],
    *[
      (kind, field.name)
      for kind in KINDS
      for field in dataclasses.fields(kind)
      if field.type is int
    ],
    *[(partial(Knowledge, LOSS, {}), name) for name in ('ways', 'shots')],
    (partial(make_network, 'mlp'), 'ways'),
    (partial(make_network, 'conv4', ways=2), 'filters'),
    (partial(sample_distinct, KEY, jnp.array(9)), 'count'),
    (partial(sample_task, KEY, make_pool([4, 4]), ways=2), 'shots'),
    (partial(sample_task, KEY, make_pool([4, 4]), shots=1), 'ways'),
    (
      partial(train, KEY, init(jnp.ones(1)), make_pool([4, 4]), TRAINING(ways=2, shots=1)),
      'rounds',
    ),
  ],
)
@pytest.mark.parametrize('value', [True, 1.5, -1])
def test_counts_that_are_none_are_refused(make, name, value):
  """A training of True shots, an attack of 1.5 shadows: each was taken as some number."""
  message = f'{name} must be (a whole number, not|[012] or more, not|1 .first-order)'
  with pytest.raises(ValueError, match=message):
    make(**{name: value})


def test_a_switch_is_true_or_false():
  """InnerLoop(1, 0.1, 2, 50) was a loop that recomputes."""
  with pytest.raises(ValueError, match='remat must be True or False, not 50'):
    InnerLoop(1, 0.1, 2, 50)  # pyright: ignore[reportArgumentType]


def test_the_game_is_named_rightly():
  """'queries' was taken for the support set, or for the query set, as the attack had it."""
  with pytest.raises(ValueError, match="unknown target 'queries'"):
    Knowledge(LOSS, {}, target='queries')
  with pytest.raises(ValueError, match="withheld 'class': did you mean 'classes'"):
    Knowledge(LOSS, {}, withheld=frozenset({'class'}))


@pytest.mark.parametrize('field', ['judge', 'labels'])
def test_attacks_know_their_choices(field):
  """A slip of the pen was taken for the first choice."""
  with pytest.raises(ValueError, match=f"unknown {field} 'know'"):
    dataclasses.replace(Reconstruction(), **{field: 'know'})


@pytest.mark.parametrize(
  'draw',
  [
    partial(sample_task, KEY, ways=3, shots=4),
    partial(sample_images, KEY, ways=3, per_class=8),
    partial(draw_trial, KEY, member=jnp.array(True), ways=2, shots=2, target='query'),
  ],
)
def test_a_class_too_small_is_refused_and_takes_no_image_of_the_next(draw):
  """Of counts [4, 4, 40] four shots put images of class 2 into the query slots of class 1."""
  with pytest.raises(ValueError, match='class 0 of the pool has 4'):
    draw(pool=make_pool([4, 4, 40]))


def test_traced_counts_are_let_pass():
  """Within `jit` nothing is known of a pool but its shape: that must go on working."""
  draw = jax.jit(partial(sample_task, ways=2, shots=1))
  assert draw(KEY, pool=make_pool([2, 2])).query.images.shape == (2, 1, 1, 1)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'target': 'queries'}, "unknown target 'queries'"),
    ({'non_members': 'any'}, "unknown kind of non-members 'any'"),
    ({'learners': 0}, 'learners must be 1 or more'),
    ({'ways': 3}, '3 ways, but the pool has only 2 classes'),
  ],
)
def test_a_game_of_other_rules_is_refused(change, message):
  """Any other target was the support set, any other non-members were of the same class."""
  rules = {'ways': 2, 'shots': 1, 'target': 'query', 'learners': 1} | change
  with pytest.raises(ValueError, match=message):
    draw_trial(KEY, make_pool([9, 9]), jnp.array(True), **rules)


def test_a_pool_without_an_image_to_spare_is_refused():
  """Two learners of one shot hold four images of a class, and the non-member is a fifth."""
  rules = {'ways': 2, 'shots': 1, 'target': 'query', 'learners': 2}
  with pytest.raises(ValueError, match='class 0 of the pool has 4'):
    draw_trial(KEY, make_pool([4, 9]), jnp.array(True), **rules)


def test_a_pool_of_floats_is_used_as_it_is():
  """It was divided by 255 once more: tasks of all but black images."""
  pool = make_pool([9, 9], jnp.float32)
  pool = pool._replace(images=3 * pool.images - 2)
  task = sample_task(KEY, pool, ways=2, shots=1)
  assert sorted(task.support.images.ravel().tolist()) == [-2, 1]


@pytest.mark.parametrize('dtype', [jnp.int32, jnp.uint16, jnp.float16])
def test_a_pool_of_another_type_is_refused(dtype):
  """Nobody has said what its white is."""
  with pytest.raises(ValueError, match='a pool holds uint8 or float32'):
    sample_task(KEY, make_pool([9, 9], dtype), ways=2, shots=1)


def test_more_different_numbers_than_there_are_is_refused():
  """Numbers past the last were drawn."""
  with pytest.raises(ValueError, match='5 different numbers cannot be drawn from 4'):
    sample_distinct(KEY, jnp.array(4), count=5)


def test_a_task_of_fewer_images_than_shots_is_refused():
  """Its query set was short of images, or empty."""
  with pytest.raises(ValueError, match=r'2 shots need images \[ways, 4 or more'):
    make_task(jnp.zeros((2, 3, 1, 1, 1)), shots=2)


BAD_SETS = [
  (Batch(jnp.zeros((2, 2, 2, 1), jnp.uint8), LABELS), 'not uint8: divide pixels of 8 bits'),
  (Batch(IMAGES.at[0].set(jnp.nan), LABELS), 'must be finite'),
  (Batch(IMAGES, jnp.arange(3)), r'need a label each, not labels \[3\]'),
  (Batch(IMAGES, jnp.array(1)), 'need a label each'),
]


@pytest.mark.parametrize(('batch', 'message'), BAD_SETS)
@pytest.mark.parametrize('place', ['support', 'query'])
def test_sets_that_are_none_are_refused(batch, message, place):
  """uint8 images were adapted on as 0..255; NaN and labels too few went through in silence."""
  task = Task(GOOD, GOOD)._replace(**{place: batch})
  inner = InnerLoop(1, 0.1)
  with pytest.raises(ValueError, match=f'{place} images.*{message}'):
    meta_gradient(bare_loss, 1.0, task, inner)
  with pytest.raises(ValueError, match=f'{place} images.*{message}'):
    send_gradient(KEY, bare_loss, 1.0, task, inner, defence=Defence())
  with pytest.raises(ValueError, match=f'support images.*{message}'):
    adapt(bare_loss, 1.0, batch, inner)


def test_pixels_that_were_cast_but_not_divided_are_refused():
  """Images in 0..255 gave gradients of 1e9, that no attack's reconstruction could match."""
  task, inner = Task(GOOD, Batch(510 * IMAGES, LABELS)), InnerLoop(1, 0.1)
  with pytest.raises(ValueError, match=r'query images: whole numbers in 255..255 .*by 255'):
    send_gradient(KEY, bare_loss, 1.0, task, inner, defence=Defence())
  with pytest.raises(ValueError, match=r'query images: whole numbers in 255..255 .*by 255'):
    meta_gradient(bare_loss, 1.0, task, inner)


@pytest.mark.parametrize('low', [-2.1, 0, 3])
def test_images_of_any_other_range_are_sent_as_they_are(low):
  """ImageNet's normalisation, a thermal camera: what a model takes is its own affair."""
  task = Task(GOOD, Batch(low + 40.5 * IMAGES, LABELS))
  sent = send_gradient(KEY, bare_loss, 1.0, task, InnerLoop(0, 0.1), defence=Defence())
  np.testing.assert_allclose(sent, 2 * (low + 20.25) ** 2, rtol=1e-5)


def test_whole_numbers_in_vectors_are_taken_as_they_are():
  """Ages and counts are no pixels."""
  batch = Batch(jnp.array([[31.0, 2.0], [77.0, 0.0]]), LABELS)
  assert jnp.isfinite(meta_gradient(bare_loss, 1.0, Task(batch, batch), InnerLoop(0, 0.1)))


def test_sets_of_images_of_two_shapes_are_refused():
  """The loss said so, in words of its own, or took them as they were."""
  task = Task(GOOD, Batch(IMAGES[:, :1], LABELS))
  with pytest.raises(ValueError, match=r'support images are \[2, 2, 1\], query images \[1, 2'):
    meta_gradient(bare_loss, 1.0, task, InnerLoop(1, 0.1))


@pytest.mark.parametrize(
  ('labels', 'message'),
  [
    (jnp.array([0, 2]), r'labels must be in 0..1, not 2'),
    (jnp.array([-1, 0]), r'labels must be in 0..1, not -1'),
    (jnp.array([0.0, 1.0]), r'labels must be integers in 0..1, not float32'),
  ],
)
def test_labels_past_the_outputs_are_refused(labels, message):
  """The cross-entropy of a class that the network has not was NaN or another's."""
  params = LOSS.network.init(KEY, IMAGES)['params']
  assert jnp.isfinite(jax.jit(LOSS)(params, GOOD))
  with pytest.raises(ValueError, match=message):
    LOSS(params, Batch(IMAGES, labels))


@pytest.mark.parametrize('name', ATTACKS)
@pytest.mark.parametrize(
  ('candidate', 'message'),
  [
    (Candidate(jnp.zeros((2, 2, 1), jnp.uint8), jnp.array(0)), 'candidate .* not uint8'),
    (
      Candidate(jnp.full((2, 2, 1), 255.0), jnp.array(0)),
      'candidate: whole numbers in 255..255',
    ),
    (Candidate(jnp.zeros((2, 2, 1)), jnp.array(0.0)), 'slot .* one integer, not float32'),
    (Candidate(jnp.zeros((2, 2, 1)), LABELS), r'slot .* one integer, not int32\[2\]'),
  ],
)
def test_no_attack_takes_a_candidate_that_is_no_image(name, candidate, message):
  """A uint8 candidate was scored as if its pixels were 0..255: hardly ever a member."""
  seen = Observation(1.0, LABELS, LABELS)
  with pytest.raises(ValueError, match=message):
    ATTACKS[name]().score(KEY, None, seen, candidate)


@pytest.mark.parametrize(
  'name', [n for n, a in ATTACKS.items() if 'references' in next(iter(a.requires.values()))]
)
def test_references_of_unequal_classes_are_refused(name):
  """Cut into equal parts they were taken for other classes than they are."""
  target = next(iter(ATTACKS[name].requires))
  game = {'target': target, 'ways': 1, 'shots': 1}
  known = Knowledge(LOSS, {}, InnerLoop(1, 0.1), references=make_pool([1, 3]), **game)
  with pytest.raises(ValueError, match='references must be class after class, equally many'):
    ATTACKS[name]().prepare(KEY, known)


@pytest.mark.parametrize('name', ['matched_filter', 'noise_filter'])
def test_knowledge_without_ways_is_refused(name):
  """The default of 0 ways gave a covariance of nothing."""
  known = Knowledge(LOSS, {}, references=make_pool([2, 2]))
  with pytest.raises(ValueError, match='ways'):
    ATTACKS[name]().prepare(KEY, known)


def test_a_measure_of_no_tasks_is_refused():
  """The mean over nothing was NaN."""
  with pytest.raises(ValueError, match='tasks must be 1 or more, not 0'):
    meta_test(KEY, {}, make_pool([9, 9]), TASKS, tasks=0)


def test_values_of_other_machines_are_not_looked_at():
  """A check must not wait for what is not here, nor for what has no value."""
  assert checks.concrete(jax.ShapeDtypeStruct((2,), jnp.float32)) is None
