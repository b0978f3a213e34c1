"""Gaussian mechanism: a message clipped to a norm, with noise on every number of it.

Its guarantee is that of one task-learner's whole task, both sets: whatever the task, the
message lies within the clip, so that another task in its place moves it by at most two clips.
Noise on some numbers alone, such as those that are not 0, would have no such guarantee.

It is a guarantee for messages of real numbers. Noise that is drawn in floating point takes
rounded values, whose lowest digits may tell more (Mironov, 2012); and a learner that diverges
sends NaN, which tells that it did. The labels of a task and its shape are no part of the
message, and not protected.
"""

import dataclasses

import jax

from mamljax.defences.clipped_noise import ClippedNoise
from mamljax.defences.gaussian import Gaussian
from mamljax.defences.numbers import register
from mamljax.types import Params


@register
@dataclasses.dataclass(frozen=True)
class DPGaussian(ClippedNoise):
  """Gaussian mechanism on what is sent: a norm clip, then noise in units of the clip.

  A pytree of two leaves, so that a change of either does not recompile. It is a learner's
  defence by itself, `Learner(..., defence=DPGaussian(1.0, 2.0))`, or one among others, as
  `Defence(outgoing=DPGaussian(1.0, 2.0))`. A clip that is chosen from private data voids the
  guarantee.

  `epsilon` is that of one learner's task: `rounds` counts the messages that it sends of the
  same task, and 'add_or_remove_one' lets one learner send nothing, in the sum of all. A server
  that receives messages one by one sees who takes part, and nothing is gained by `sampling`: a
  value below 1 is for secure aggregation or shuffling alone.

  Attributes:
    clip: the greatest norm, over all numbers, that a message keeps; above 0.
    noise_multiplier: the standard deviation of the noise, in clips; 0 clips alone, without any
      guarantee.

  Raises:
    InputError: if a number is not as above.
  """

  @property
  def mean(self) -> float:
    """The mean of the noise, 0."""
    return 0.0

  @property
  def scale(self) -> float | jax.Array:
    """The standard deviation of the noise on each number."""
    return self.noise_multiplier * self.clip

  def noise_of(self, count: int) -> Gaussian:
    """The noise on a message, however many examples it is of."""
    del count
    return Gaussian(self.scale)

  def __call__(self, key: jax.Array, value: Params, /) -> Params:
    """The value, clipped, with noise on every number, each leaf in its own type."""
    return Gaussian(self.scale)(key, self.clipped(value))
