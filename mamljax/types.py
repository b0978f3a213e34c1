"""The words that every layer shares.

Conventions, stated once: images are float32 in [0, 1] in NHWC order (uint8 only
inside a `Pool`), labels are integers in 0..ways-1, losses are means over the batch,
and parameters are any pytree of arrays.
"""

from typing import Any, NamedTuple, Protocol

import jax

Params = Any  # a pytree of arrays, such as a flax module's `params`


class Batch(NamedTuple):
  """Images with their slot labels.

  Attributes:
    images: float32 [n, height, width, channels], in [0, 1].
    labels: integers [n], in 0..ways-1.
  """

  images: jax.Array
  labels: jax.Array


class Task(NamedTuple):
  """One task-learner's private data: it adapts on `support`, is judged on `query`."""

  support: Batch
  query: Batch


class Pool(NamedTuple):
  """Images that tasks may be drawn from, stored class after class.

  Attributes:
    images: uint8 [n, height, width, channels]; class c holds the rows
      starts[c] .. starts[c] + counts[c] - 1.
    starts: integers [classes].
    counts: integers [classes].
  """

  images: jax.Array
  starts: jax.Array
  counts: jax.Array


class LossFn(Protocol):
  """A task's loss: the mean over the batch, a scalar."""

  def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
    """The mean loss of the batch, a scalar."""
    ...
