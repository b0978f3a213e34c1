"""Tasks are drawn as the protocol says: distinct, disjoint, uniform, and by the key alone."""

import collections
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from mamljax import Pool, sample_task
from mamljax.tasks import (
  make_task,
  sample_distinct,
  sample_images,
  sample_rows,
  slot_labels,
  take_images,
)

COUNTS = (6, 9, 4, 12, 7)  # images of each class: unbalanced on purpose
GUARD = 255  # a row that belongs to no class
WAYS, SHOTS = 3, 2


def make_pool() -> Pool:
  """Two pixels an image: its class and its number within the class; guards in between."""
  rows, starts = [(GUARD, GUARD)], []
  for label, count in enumerate(COUNTS):
    starts.append(len(rows))
    rows += [(label, number) for number in range(count)] + [(GUARD, GUARD)]
  images = np.array(rows, np.uint8).reshape(-1, 1, 2, 1)
  return Pool(jnp.asarray(images), jnp.array(starts), jnp.array(COUNTS))


@functools.cache
def sampled():
  """Many tasks: classes and numbers, integers [tasks, 2 sets, ways, shots]."""
  draw = functools.partial(sample_task, pool=make_pool(), ways=WAYS, shots=SHOTS)
  tasks = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 6000))
  pixels = np.stack([np.asarray(batch.images) for batch in tasks], axis=1)
  pixels = np.rint(pixels * 255).astype(int).reshape(-1, 2, WAYS, SHOTS, 2)
  return tasks, pixels[..., 0], pixels[..., 1]


def no_repeats(draws) -> bool:
  """Whether no number stands twice along the last axis."""
  ordered = np.sort(np.asarray(draws))
  return bool((ordered[..., 1:] != ordered[..., :-1]).all())


def assert_uniform(draws, cells):
  """A chi-square test that a fair sampler fails once in 10,000 seeds."""
  counted = collections.Counter(map(tuple, draws))
  assert set(counted) <= set(cells)
  assert stats.chisquare([counted[cell] for cell in cells]).pvalue > 1e-4


def test_draws_are_distinct_and_in_range():
  """Else one image would stand in support and query, and be its own non-member."""
  count = 5
  totals = jnp.repeat(jnp.array([5, 6, 60_000]), 400)
  keys = jax.random.split(jax.random.key(1), len(totals))
  draws = jax.jit(jax.vmap(functools.partial(sample_distinct, count=count)))(keys, totals)
  assert draws.shape == (len(totals), count)
  assert draws.dtype == jnp.int32
  assert no_repeats(draws)
  assert draws.min() >= 0
  assert (draws < totals[:, None]).all()
  # The number of images was traced: one program served all, and reached the last image's.
  assert draws[-400:].max() > 50_000


@pytest.mark.parametrize(('total', 'count'), [(5, 3), (4, 4)])
def test_draws_are_uniform_over_ordered_tuples(total, count):
  """Else some images are attacked more than others. All of them: a permutation."""
  keys = jax.random.split(jax.random.key(2), 12_000)
  draw = jax.jit(jax.vmap(functools.partial(sample_distinct, count=count), in_axes=(0, None)))
  cells = list(itertools.permutations(range(total), count))
  assert_uniform(np.asarray(draw(keys, total)).tolist(), cells)


def test_draws_in_double_precision():
  """Else a certificate in float64 cannot use real tasks."""
  with jax.enable_x64(True):
    assert sample_distinct(jax.random.key(0), jnp.array(9), count=4).dtype == jnp.int32


def test_each_slot_holds_one_class_of_its_own():
  """Else labels say nothing about images. Guards: no class reads another's rows."""
  _, classes, numbers = sampled()
  slots = classes[:, 0, :, 0]
  assert (classes == slots[:, None, :, None]).all()
  assert no_repeats(slots)
  assert (numbers < np.array(COUNTS)[classes]).all()


def test_support_and_query_share_no_image():
  """Else a support member is a query member too, and the two attacks are confused."""
  _, _, numbers = sampled()
  drawn = np.concatenate([numbers[:, 0], numbers[:, 1]], axis=-1)
  assert no_repeats(drawn)


def test_every_assignment_of_classes_to_slots_is_as_likely():
  """Else the slot gives the class away, and the task can be solved without adapting."""
  _, classes, _ = sampled()
  cells = list(itertools.permutations(range(len(COUNTS)), WAYS))
  assert_uniform(classes[:, 0, :, 0].tolist(), cells)


@pytest.mark.parametrize('label', range(len(COUNTS)))
def test_every_image_of_a_class_is_as_likely(label):
  """Else a large class hides its last images, or a set is drawn from one end."""
  _, classes, numbers = sampled()
  of_class = classes[:, 0, :, 0] == label
  pairs = np.stack([numbers[:, 0, :, 0], numbers[:, 1, :, 1]], axis=-1)[of_class]
  assert_uniform(pairs.tolist(), list(itertools.permutations(range(COUNTS[label]), 2)))


def test_tasks_keep_the_conventions():
  """float32 in [0, 1], NHWC, integer labels by slot: what every LossFn relies on."""
  tasks, classes, _ = sampled()
  for batch in tasks:
    assert batch.images.dtype == jnp.float32
    assert batch.images.shape == (len(classes), WAYS * SHOTS, 1, 2, 1)
    np.testing.assert_array_equal(batch.labels, np.tile([0, 0, 1, 1, 2, 2], (len(classes), 1)))
    assert jnp.issubdtype(batch.labels.dtype, jnp.integer)


def test_white_and_black_stay_what_they_are():
  """0 and 255 are 0.0 and 1.0 exactly: no candidate may leave the box. Slots' classes match."""
  pixels = jnp.array([0, 0, 255, 255], jnp.uint8).reshape(4, 1, 1, 1)
  pool = Pool(pixels, jnp.array([0, 2]), jnp.array([2, 2]))
  draw = jax.jit(functools.partial(sample_images, pool=pool, ways=2, per_class=2))
  images, classes = draw(jax.random.key(0))
  assert sorted(classes.tolist()) == [0, 1]
  np.testing.assert_array_equal(images.reshape(2, 2), jnp.stack([classes, classes], axis=1))


def test_rows_are_of_the_classes_asked_for_and_different():
  """Else the game's learners would share images, or hold some of a class not theirs."""
  pool, classes = make_pool(), jnp.array([4, 1, 1, 2])
  draw = functools.partial(sample_rows, pool=pool, classes=classes, per_class=4)
  rows = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(3), 200))
  assert rows.shape == (200, 4, 4)
  assert no_repeats(rows)
  pixels = np.asarray(pool.images)[np.asarray(rows), 0, :, 0]
  assert (pixels[..., 0] == np.asarray(classes)[:, None]).all()
  # A class named twice is drawn twice, with keys of its own.
  assert not (rows[:, 1] == rows[:, 2]).all(axis=-1).all()
  np.testing.assert_array_equal(
    np.rint(255 * take_images(pool, rows[0]))[..., 0, :, 0], pixels[0]
  )


def test_the_key_alone_decides():
  """Else a resumed cell, or one in other chunks, draws other tasks."""
  tasks, _, _ = sampled()
  keys = jax.random.split(jax.random.key(0), 6000)
  draw = jax.jit(functools.partial(sample_task, pool=make_pool(), ways=WAYS, shots=SHOTS))
  alone = draw(keys[17])
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[17]), alone, tasks)
  assert len({batch.tobytes() for batch in np.asarray(tasks.support.images)}) > 5000


def test_more_ways_than_classes_are_refused():
  """Else slots are silently missing."""
  with pytest.raises(ValueError, match='6 ways, but the pool has only 5 classes'):
    sample_task(jax.random.key(0), make_pool(), ways=len(COUNTS) + 1, shots=1)


@pytest.mark.parametrize(('ways', 'shots'), [(1, 1), (3, 2), (2, 5)])
def test_labels_are_ordered_by_slot(ways, shots):
  """Else an adversary who knows the slots looks for the candidate in the wrong one."""
  labels = slot_labels(ways=ways, shots=shots)
  np.testing.assert_array_equal(labels, np.repeat(np.arange(ways), shots))


def test_a_task_takes_its_first_images_and_leaves_the_rest():
  """The rest of a slot are the game's non-members: they must be in neither set."""
  images = jnp.arange(2 * 5.0).reshape(2, 5, 1, 1, 1)
  task = make_task(images, shots=2)
  assert task.support.images.ravel().tolist() == [0, 1, 5, 6]
  assert task.query.images.ravel().tolist() == [2, 3, 7, 8]
  assert task.support.labels.tolist() == task.query.labels.tolist() == [0, 0, 1, 1]
