"""Inputs of an audit of one update, checked: updates, candidates and public images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.data.dataset import pool_of
from mamljax.data.examples import as_examples
from mamljax.errors import InputError
from mamljax.images import as_floats
from mamljax.tasks import take_images
from mamljax.types import Batch, Params, Pool


class Round(NamedTuple):
  """One update.

  Attributes:
    params: the parameters w that were sent out before.
    update: what was received, of one learner, or the mean over several.
  """

  params: Params
  update: Any


def rounds_of(params: Params, received: Any, like: Any, *, learners: int) -> list[Round]:
  """The rounds of an update, each with the parameters that were sent out before.

  Args:
    params: the parameters w.
    received: one update; or a list of updates, or of pairs of parameters and update.
    like: the shapes of an update.
    learners: the number of learners whose updates were added up.

  Raises:
    InputError: if something received is not finite, or not like what the learner sends.
  """
  items = [received] if _fits(received, like) else received
  if not isinstance(items, list | tuple) or not items:
    raise _unlike(received, like)
  rounds = []
  for number, item in enumerate(items):
    pair = isinstance(item, tuple) and len(item) == 2 and not _fits(item, like)
    own, update = item if pair else (params, item)
    if not _fits(update, like):
      raise _unlike(update, like)
    lost = [not np.isfinite(leaf).all() for leaf in jax.tree.leaves((own, update))]
    if any(lost):
      raise InputError(f'update {number + 1} of {len(items)}, or its parameters, is not finite')
    mean = jax.tree.map(lambda leaf: jnp.asarray(leaf) / learners, update)
    rounds.append(Round(jax.tree.map(jnp.asarray, own), mean))
  return rounds


def _fits(update: Any, like: Any) -> bool:
  """Tests whether a pytree has the structure and shapes of another."""
  if jax.tree.structure(update) != jax.tree.structure(like):
    return False
  pairs = zip(jax.tree.leaves(update), jax.tree.leaves(like), strict=True)
  return all(jnp.shape(leaf) == other.shape for leaf, other in pairs)


def _unlike(update: Any, like: Any) -> InputError:
  shapes, wanted = (_shapes(tree) for tree in (update, like))
  return InputError(
    f'received must be like what the learner sends, {wanted}, or a list of such; not {shapes}'
  )


def _shapes(tree: Any) -> str:
  """The shapes of a pytree's leaves, the first few."""
  shapes = [str(list(jnp.shape(leaf))) for leaf in jax.tree.leaves(tree)]
  return ' '.join(shapes[:8]) + (' ...' if len(shapes) > 8 else '')


def task_shape(
  candidates: Any, labels: Any, *, ways: int | None, shots: int | None
) -> tuple[int | None, int | None, Any]:
  """The ways and shots of a task, as far as they are said, and the slots of bare candidates.

  Args:
    candidates: images with their slots, or images alone.
    labels: in the first case the slots of the set that is sought, from which ways and shots
      follow; in the second those of the candidates.
    ways: classes of the task, if given apart.
    shots: images of each class in a set, if given apart.

  Raises:
    InputError: if the slots are not those of equally many images of each class.
  """
  for name, value in (('ways', ways), ('shots', shots)):
    if value is not None:
      checks.whole(name, value, least=1)
  if labels is None or not isinstance(candidates, tuple):
    return ways, shots, labels
  slots = np.asarray(labels)
  if slots.ndim != 1 or not slots.size or slots.dtype.kind not in 'iu' or slots.min() < 0:
    raise InputError(f'labels must be the slots of the images that are sought, not {labels!r}')
  if np.array_equal(slots, np.asarray(candidates[1])):  # said twice, of the candidates
    return ways, shots, None
  counts = np.bincount(slots)
  if counts.min() != counts.max():
    raise InputError(f'labels must hold each slot equally often, not {counts.tolist()} times')
  return ways or len(counts), shots or int(counts[0]), None


def candidates_of(candidates: Any, labels: Any, *, ways: int) -> Batch:
  """The candidates with their slots.

  Raises:
    InputError: if a candidate has no slot, or one that is none of 0..ways-1.
  """
  images, slots = candidates if isinstance(candidates, tuple) else (candidates, labels)
  if slots is None:
    raise InputError(
      'candidates need a slot each: give mamljax.Batch(images, labels), or labels='
    )
  images, slots = floats('candidates', images), np.asarray(slots)
  if slots.ndim != 1 or len(slots) != len(images):
    raise InputError(f'{len(images)} candidates need a slot each, not {list(slots.shape)}')
  checks.labels('slots of candidates', slots, ways=ways)
  return Batch(images, jnp.asarray(slots, jnp.int32))


def floats(name: str, images: Any) -> jax.Array:
  """Images as a model takes them: uint8 over 255, floats as they are.

  Raises:
    InputError: if they are no finite numbers, or it is not certain what they mean.
  """
  return as_floats(as_examples(name, images)[0])


def public_of(public: Any) -> Pool:
  """Public images as a pool: from `from_arrays`, a pool, a batch, or inputs and labels.

  Raises:
    InputError: if it is none of these.
  """
  found = getattr(public, 'references', public)
  if isinstance(found, Pool):
    return found
  if not isinstance(found, tuple) or len(found) != 2:
    raise InputError(
      f'public must be data of mamljax.from_arrays, a Pool, a Batch, or inputs and labels, not '
      f'{type(public).__name__}'
    )
  images, labels = as_examples('public images', found[0])[0], np.asarray(found[1])
  if labels.ndim != 1 or len(labels) != len(images):
    raise InputError(f'{len(images)} public images need a label each, not {list(labels.shape)}')
  rows = [np.flatnonzero(labels == label) for label in np.unique(labels)]
  return jax.device_put(pool_of(images, rows))


def slots_of(pool: Pool, classes: Any, *, ways: int | None) -> list[np.ndarray]:
  """The rows of a pool with the images of each slot's class.

  Args:
    pool: public images.
    classes: the class of each slot; None where the pool has the classes of the slots alone.
    ways: the slots of a task; those of the pool or of `classes` if None.

  Raises:
    InputError: if the class of a slot is not known.
  """
  known = len(pool.counts)
  if classes is None and ways not in (None, known):
    raise InputError(
      f'public images are of {known} classes, the task has {ways} slots: say which class each '
      f'slot holds by classes=[...]'
    )
  chosen = np.arange(known) if classes is None else np.asarray(classes)
  if ways is not None and len(chosen) != ways:
    raise InputError(f'{ways} slots have a class each, not classes={chosen.tolist()}')
  checks.labels('classes of slots', chosen, ways=known)
  starts, counts = np.asarray(pool.starts), np.asarray(pool.counts)
  return [starts[c] + np.arange(counts[c]) for c in chosen]


class Parts(NamedTuple):
  """Public images in disjoint parts, with the class of slot c as class c.

  Attributes:
    references: for the attack, equally many of each class.
    simulated: for the tasks on which the attack is chosen.
    nulls: the non-members that candidates are ranked among.
    slots: the slot of each of these.
  """

  references: Pool
  simulated: Pool
  nulls: jax.Array
  slots: np.ndarray


def divide(
  pool: Pool, rows: Sequence[np.ndarray], shares: tuple[float, float], *, seed: int, least: int
) -> Parts:
  """Public images in disjoint parts, at random.

  Args:
    pool: the public images.
    rows: the rows of each slot.
    shares: of references and of simulated tasks; the rest are ranked among.
    seed: seed of the division.
    least: the fewest images of a class from which tasks are simulated.

  Raises:
    InputError: if a class has too few images.
  """
  random, smallest = np.random.default_rng(seed), min(map(len, rows))
  own = max(round(shares[0] * smallest), 2)
  simulated = max(round(shares[1] * smallest), least) if shares[1] else 0
  if smallest < own + simulated + 1:
    raise InputError(
      f'public images are too few: {smallest} of one class, at least {own + simulated + 1} of '
      f'each are needed'
    )
  mixed = [random.permutation(part) for part in rows]
  ends = own, own + simulated
  nulls, stored = [part[ends[1] :] for part in mixed], np.asarray(pool.images)
  return Parts(
    references=jax.device_put(pool_of(stored, [part[: ends[0]] for part in mixed])),
    simulated=jax.device_put(pool_of(stored, [part[ends[0] : ends[1]] for part in mixed])),
    nulls=take_images(pool, jnp.asarray(np.concatenate(nulls))),
    slots=np.repeat(np.arange(len(nulls)), [len(part) for part in nulls]),
  )


def without_copies(
  pool: Pool, rows: Sequence[np.ndarray], images: jax.Array
) -> list[np.ndarray]:
  """The rows of images that equal no candidate, which is not its own non-member."""
  known = {np.asarray(image).tobytes() for image in images}
  found = []
  for part in rows:
    stored = np.asarray(take_images(pool, jnp.asarray(part)))
    found.append(part[[image.tobytes() not in known for image in stored]])
  return found
