"""Sampling of w-way s-shot tasks, as pure functions for `jit` and `vmap`."""

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.errors import InputError
from mamljax.images import as_floats
from mamljax.types import Batch, Pool, Task


def sample_distinct(key: jax.Array, total: jax.Array, *, count: int) -> jax.Array:
  """A uniform sample of `count` different integers in 0..total-1, in random order.

  The cost does not depend on `total`, which may be traced: draw i is an index among the
  total - i numbers that are left, moved past those already taken.

  Args:
    key: a random key.
    total: the number of integers to draw from, at least `count`.
    count: the number of integers to draw.

  Returns:
    int32 [count].

  Raises:
    InputError: if `total` is not traced and less than `count`.
  """
  checks.whole('count', count, least=1)
  available = checks.concrete(total)
  if available is not None and available < count:
    raise InputError(f'{count} different numbers cannot be drawn from {available}')
  remaining = jnp.asarray(total, jnp.int32) - jnp.arange(count, dtype=jnp.int32)
  draws = jax.random.randint(key, (count,), 0, remaining, jnp.int32)

  def take(taken: jax.Array, draw: jax.Array):
    # `taken` is sorted; its free places hold the largest integer.
    number = jax.lax.fori_loop(0, count, lambda i, x: x + (taken[i] <= x), draw)
    return jnp.sort(taken.at[-1].set(number)), number

  empty = jnp.full((count,), jnp.iinfo(jnp.int32).max, jnp.int32)
  return jax.lax.scan(take, empty, draws)[1]


def sample_images(
  key: jax.Array, pool: Pool, *, ways: int, per_class: int
) -> tuple[jax.Array, jax.Array]:
  """A sample of different images of `ways` different classes.

  Classes and images are drawn uniformly without replacement. The order of the classes is
  random, so that their assignment to slots is.

  Args:
    key: a random key.
    pool: the images to draw from, at least `per_class` of each class.
    ways: number of classes.
    per_class: number of images of each class.

  Returns:
    float32 images [ways, per_class, height, width, channels], as `images.as_floats` has them,
    and the classes int32 [ways]. NaN for a class that turns out to have too few, where counts
    are traced.

  Raises:
    InputError: if the pool has fewer classes, its images are neither uint8 nor float32, or
      it has too few images: of a class or, where the counts are traced, of all together.
  """
  checks.whole('images of a class', per_class, least=1)
  check_ways(pool, ways)
  checks.pool(pool, per_class=per_class)
  key_classes, key_images = jax.random.split(key)
  classes = jax.random.permutation(key_classes, pool.counts.shape[0])[:ways]
  rows = sample_rows(key_images, pool, classes, per_class=per_class)
  images = take_images(pool, rows)
  if checks.concrete(pool.counts) is None:
    # Rows past a class are of the next: a traced pool cannot be refused, but nor be believed.
    enough = (pool.counts[classes] >= per_class).reshape(-1, *[1] * (images.ndim - 1))
    images = jnp.where(enough, images, jnp.nan)
  return images, classes


def check_ways(pool: Pool, ways: int) -> None:
  """Refuses tasks without classes, or of more classes than a pool has."""
  checks.whole('ways', ways, least=1)
  if ways > pool.counts.shape[0]:
    raise InputError(f'{ways} ways, but the pool has only {pool.counts.shape[0]} classes')


def sample_rows(key: jax.Array, pool: Pool, classes: jax.Array, *, per_class: int) -> jax.Array:
  """A sample of different rows of the pool for each class: integers [classes, per_class]."""
  keys = jax.random.split(key, classes.shape[0])
  draw = jax.vmap(lambda key, total: sample_distinct(key, total, count=per_class))
  return pool.starts[classes][:, None] + draw(keys, pool.counts[classes])


def take_images(pool: Pool, rows: jax.Array) -> jax.Array:
  """The images in some rows, float32 [*rows.shape, height, width, channels]."""
  checks.pool(pool, per_class=0)
  return as_floats(pool.images[rows])


def first_of_each(pool: Pool, count: int) -> Pool:
  """The first images of each class, equally many: `count`, or what the smallest class has."""
  count = min(count, int(np.min(pool.counts)))
  rows = (np.asarray(pool.starts)[:, None] + np.arange(count)).ravel()
  counts = np.full(len(pool.counts), count, np.int32)
  starts = np.arange(len(counts), dtype=np.int32) * count
  return Pool(*map(jnp.asarray, (pool.images[rows], starts, counts)))


def slot_labels(*, ways: int, shots: int) -> jax.Array:
  """The labels of a set with `shots` images of slot 0, then of slot 1, and so on."""
  checks.whole('ways', ways, least=1)
  checks.whole('shots', shots, least=1)
  return jnp.repeat(jnp.arange(ways), shots)


def sample_task(key: jax.Array, pool: Pool, *, ways: int, shots: int) -> Task:
  """A random task: disjoint support and query sets of `shots` images of `ways` classes.

  Both sets are ordered by slot. Each class of the pool must have 2 * shots images or more.

  Raises:
    InputError: as `sample_images` does, for 2 * shots images of each class.
  """
  checks.whole('shots', shots, least=1)
  images, _ = sample_images(key, pool, ways=ways, per_class=2 * shots)
  return make_task(images, shots=shots)


def make_task(images: jax.Array, *, shots: int) -> Task:
  """The task with the first `shots` images of each slot in its support set, the next in query.

  Args:
    images: [ways, at least 2 * shots, height, width, channels], or vectors in their place.
    shots: number of images of each slot in each set.

  Raises:
    InputError: if a slot has fewer images, or the images are no floats.
  """
  checks.images('images', images, leading=2)
  labels = slot_labels(ways=images.shape[0], shots=shots)
  if images.ndim < 3 or images.shape[1] < 2 * shots:
    raise InputError(
      f'{shots} shots need images [ways, {2 * shots} or more, height, width, channels] or '
      f'vectors [ways, {2 * shots} or more, features], not {list(images.shape)}'
    )
  image_shape = images.shape[2:]
  support = images[:, :shots].reshape(-1, *image_shape)
  query = images[:, shots : 2 * shots].reshape(-1, *image_shape)
  return Task(Batch(support, labels), Batch(query, labels))
