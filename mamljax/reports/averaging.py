"""Tests of a loss: a mean over the batch, whose images do not see each other.

A loss that grows with the batch is refused. Rates, noise and what single images' gradients
weigh are all said of the mean: with a sum the strongest attacks, which read a mean, would not
be played, and where the sum is a mistake the same rate is that of another learner. Learners
that do descend on sums are declared exactly by a greater rate.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.errors import InputError
from mamljax.tasks import take_images
from mamljax.types import Batch, LossFn, Params, Pool

_NEAR, _LIKE = 1e-3, 1e-2  # relative: of one loss to another, and of differences of losses
_EACH = 4  # images of a batch


class _Losses(NamedTuple):
  """Losses of four images, the first and the last of which are also given several times.

  Attributes:
    alone: of each image [4].
    together: of all four.
    twice: of the first and the last image, given twice [2].
    often: of these, given four times [2].
  """

  alone: Any
  together: Any
  twice: Any
  often: Any


def is_mean_over_images(loss_fn: LossFn, params: Params, pool: Pool, *, ways: int) -> bool:
  """Tests whether the loss of four images is the mean of their own losses.

  Raises:
    InputError: if it grows with the number of images, as a sum does.
  """
  rows = np.linspace(0, len(pool.images) - 1, _EACH).astype(int)
  images, labels = take_images(pool, jnp.asarray(rows)), jnp.arange(_EACH) % ways
  losses = jax.tree.map(np.asarray, _losses(loss_fn, params, images, labels))
  ends = losses.alone[[0, -1]]
  if _grows(losses, ends):
    raise InputError(
      f'loss_fn must return the mean over the batch: of one image given {_EACH} times it is '
      f'{losses.often[0]:.3g}, and {ends[0]:.3g} of the image alone. Divide a sum by '
      f'len(batch.labels); learners that descend on a sum of n images have n times the rate '
      f'and, in what they send, 1 / n of the noise'
    )
  return _near(losses.together, losses.alone.mean())


def _grows(losses: _Losses, ends: np.ndarray) -> bool:
  """Tests whether the number of images alone makes a loss greater: as a sum, or by a factor.

  Images that see each other, as under batch normalisation, are no reason.
  """
  more, most = losses.twice - ends, losses.often - ends
  if not np.all(np.abs(most) > _NEAR * np.abs(losses.alone).max()):
    return False  # but for rounding
  is_sum = np.abs(most - (_EACH - 1) * more) <= _LIKE * np.abs(most)
  crossed = losses.often * ends[::-1]  # equal if there is one factor, whatever the image
  is_scaled = np.ptp(crossed) <= _LIKE * np.abs(crossed).max()
  differ = np.ptp(ends) > 5 * _LIKE * np.abs(ends).max()  # or they are crossed with themselves
  return bool(is_sum.all() or (is_scaled and differ))


def _near(one: Any, other: Any) -> bool:
  """Tests whether losses are equal, to rounding."""
  return bool(np.all(np.abs(one - other) <= _NEAR * np.maximum(np.abs(one), 1e-6)))


@functools.partial(jax.jit, static_argnames='loss_fn')
def _losses(loss_fn: LossFn, params: Params, images: jax.Array, labels: jax.Array) -> _Losses:
  """The losses, of batches of one, two and four images."""

  def of(rows: Any) -> jax.Array:
    rows = jnp.asarray(rows)
    return jax.lax.map(lambda at: loss_fn(params, Batch(images[at], labels[at])), rows)

  first, last = 0, _EACH - 1
  fours = of([list(range(_EACH)), [first] * _EACH, [last] * _EACH])
  return _Losses(
    of([[at] for at in range(_EACH)]), fours[0], of([[first] * 2, [last] * 2]), fours[1:]
  )
