"""Outputs of a loss: one number, and the slots that labels may name.

Labels past the last slot are found by what they do to the gradient.

No loss says how many outputs it has. A label past the last gives a loss of NaN, and a gradient
that is finite all the same, by one common form of the cross-entropy; no gradient at all by
one-hot vectors; and the last slot's gradient by clamping.
"""

import functools
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from mamljax import checks
from mamljax.errors import InputError
from mamljax.numerics import is_finite
from mamljax.types import Batch, LossFn, Params, Task

_IMAGES = 4  # of different classes, where there are: no model is sure of one slot in all


def check_scalar(loss_fn: LossFn, params: Params, images: jax.Array) -> None:
  """Refuses a loss that is no single number, found without computing it.

  Raises:
    InputError: with what the loss of these images is instead.
  """
  batch = Batch(images, jnp.zeros(len(images), jnp.int32))
  # As a partial: a loss may be an object to which there are no weak references.
  made = jax.eval_shape(functools.partial(loss_fn), params, batch)
  if not hasattr(made, 'shape'):
    raise InputError(f'loss_fn must return one number alone, not a {type(made).__name__}')
  if made.shape != ():
    each = ', one for each image: take .mean()' * (made.shape[:1] == (len(images),))
    raise InputError(
      f'loss_fn must return one number, the mean over the batch, not {list(made.shape)} of '
      f'{len(images)} images{each}'
    )


def check_ways(loss_fn: LossFn, params: Params, images: jax.Array, *, ways: int) -> None:
  """Refuses more ways than the loss has slots, if values are at hand; see `missing_slot`.

  Raises:
    InputError: with the number of slots that there are.
  """
  slots = missing_slot(loss_fn, params, images, labels=range(ways))
  if slots is not None:
    raise InputError(
      f'ways must be at most {slots}, the outputs of the model, not {ways}: a label of {slots} '
      f'has no output of its own'
    )


def check_labels(loss_fn: LossFn, params: Params, task: Task) -> None:
  """Refuses labels of a task that begin at 1 and end past the last slot, if at hand."""
  known = [checks.concrete(batch.labels) for batch in task]
  values = [x for x in known if x is not None and x.size and x.dtype.kind in 'iu']
  if len(values) < 2 or min(x.min() for x in values) < 1:
    return
  most = int(max(x.max() for x in values))
  labels = sorted({0, most - 1, most})
  slots = missing_slot(loss_fn, params, task.support.images, labels=labels)
  if slots is not None:
    raise InputError(
      f'labels must be in 0..{slots - 1}, as many as the outputs of the model, not {most}: '
      f'they begin at {min(x.min() for x in values)}, and slots are numbered from 0'
    )


def missing_slot(
  loss_fn: LossFn, params: Params, images: jax.Array, *, labels: Iterable[int]
) -> int | None:
  """The first of some ascending labels that has no output of its own; None if all have.

  Args:
    loss_fn: the task's loss.
    params: parameters at which the gradient does not vanish.
    images: float32 [n, ...]; the first and last few are looked at.
    labels: ascending integers from 0 on.

  Returns:
    None, too, if values are traced, or if the gradient of the first label is 0 or no number:
    such a model says nothing about labels.
  """
  if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((params, images))):
    return None
  rows = np.linspace(0, len(images) - 1, min(_IMAGES, len(images))).astype(int)
  few, before = jnp.asarray(images)[rows], None
  for place, label in enumerate(labels):
    slope, is_number = _slope(loss_fn, params, few, jnp.asarray(label, jnp.int32))
    if not (is_number and _differs(slope, None) and (place == 0 or _differs(slope, before))):
      # A loss that does not move from the first label to the second does not look at labels.
      return label if place > 1 or (place == 1 and not is_number) else None
    before = slope
  return None


@functools.partial(jax.jit, static_argnames='loss_fn')
def _slope(
  loss_fn: LossFn, params: Params, images: jax.Array, label: jax.Array
) -> tuple[Params, jax.Array]:
  """The gradient of some images of one label, and whether it and the loss are finite."""
  batch = Batch(images, jnp.full(len(images), label))
  loss, slope = jax.value_and_grad(loss_fn)(params, batch)
  return slope, is_finite((loss, slope))


@jax.jit
def _differs(slope: Params, other: Params | None) -> jax.Array:
  """Tests whether any number of a gradient is other than that of another, or than 0."""
  other = jax.tree.map(jnp.zeros_like, slope) if other is None else other
  return jnp.array(
    jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), slope, other))
  ).any()
