"""Types that all modules share: batches, tasks, pools of images, losses.

Conventions, stated once: images are float32 in NHWC order, in the range that the model takes
(uint8 only inside a `Pool`, where 0..255 is [0, 1]); vectors [n, features] stand wherever
images do. Labels are integers in 0..ways-1, losses are means over the batch, and parameters
are any pytree of arrays.
"""

from typing import Any, NamedTuple, Protocol

import jax

Params = Any  # a pytree of arrays, such as a flax module's `params`


class Batch(NamedTuple):
  """Images with their slot labels.

  Attributes:
    images: float32 [n, height, width, channels], or vectors [n, features].
    labels: integers [n], in 0..ways-1.
  """

  images: jax.Array
  labels: jax.Array


class Task(NamedTuple):
  """The private data of one task-learner.

  Attributes:
    support: the set that the learner adapts on.
    query: the set that its adapted parameters are judged by.
  """

  support: Batch
  query: Batch


class Pool(NamedTuple):
  """Images from which tasks are drawn, stored class after class.

  Attributes:
    images: [n, height, width, channels] or vectors [n, features], as uint8, of which 0..255 is
      [0, 1], or as float32, used as they are; class c holds the rows
      starts[c] .. starts[c] + counts[c] - 1.
    starts: the first row of each class, integers [classes].
    counts: the number of images of each class, integers [classes].
  """

  images: jax.Array
  starts: jax.Array
  counts: jax.Array


class LossFn(Protocol):
  """A task's loss: the mean over the batch, a scalar."""

  def __call__(self, params: Params, batch: Batch, /) -> jax.Array:
    """The mean loss of the batch, a scalar."""
    ...
