"""Inputs of an audit of one update, checked: updates, candidates and public images."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import checks
from mamljax.data.class_labels import number_classes
from mamljax.data.dataset import pool_of
from mamljax.data.examples import as_examples
from mamljax.errors import InputError
from mamljax.images import as_floats
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


def candidates_of(candidates: Any, labels: Any, *, ways: int) -> tuple[Batch, tuple[str, ...]]:
  """The candidates with their slots, and remarks on what was changed.

  Raises:
    InputError: if a candidate has no slot, or one that is none of 0..ways-1.
  """
  images, slots = candidates if isinstance(candidates, tuple) else (candidates, labels)
  if slots is None:
    raise InputError(
      'candidates need a slot each: give mamljax.Batch(images, labels), or labels='
    )
  (images, notes), slots = as_examples('candidates', images), np.asarray(slots)
  if slots.ndim != 1 or len(slots) != len(images):
    raise InputError(f'{len(images)} candidates need a slot each, not {list(slots.shape)}')
  checks.labels('slots of candidates', slots, ways=ways)
  return Batch(as_floats(jnp.asarray(images)), jnp.asarray(slots, jnp.int32)), notes


class Public(NamedTuple):
  """Public images.

  Attributes:
    pool: the images.
    names: the label of each class, as it was given.
    notes: remarks on what was changed.
  """

  pool: Pool
  names: tuple[Any, ...]
  notes: tuple[str, ...]


def public_of(public: Any) -> Public:
  """Public images, from `from_arrays`, a pool, a batch, or inputs and labels.

  Raises:
    InputError: if it is none of these.
  """
  found = getattr(public, 'references', public)
  if isinstance(found, Pool):
    names = getattr(public, 'classes', range(len(found.counts)))
    return Public(found, tuple(names), tuple(getattr(public, 'notes', ())))
  if not isinstance(found, tuple) or len(found) != 2:
    raise InputError(
      f'public must be data of mamljax.from_arrays, a Pool, a Batch, or inputs and labels, not '
      f'{type(public).__name__}'
    )
  images, notes = as_examples('public images', found[0])
  classes = number_classes('public labels', found[1], count=len(images))
  rows = [np.flatnonzero(classes.labels == number) for number in range(len(classes.names))]
  return Public(jax.device_put(pool_of(images, rows)), classes.names, notes)


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
