"""Row space: tests whether the candidate lies in the span of the first layer's gradient.

In a layer y = W'x + b on the images themselves, dL/dW = sum_i x_i delta_i' for any loss, and
the last row of [dL/dW; dL/db] = sum_i [x_i; 1] delta_i' belongs to the bias. (Phong et al.,
2018, read one image off it.) A meta-gradient adds, for any number of inner steps, only terms
of the support images: its columns span [x; 1] of both sets, whichever is asked about. Of
first-order MAML they span the query set alone. Once the two sets together have as many images
as the layer has units, the columns mix them and no image is in their span.

Every direction of the span is known only as well as it stands out of the noise, be it of a
defence or of rounding. A defence's is the same everywhere; rounding is in proportion to the
column, and an image that a trained network is sure of, or a slow one among those whose
adaptation explodes, is heard in small columns alone. So columns are put in units of their
noise first, which leaves the span as it is. The noise is then measured where there is nothing
else, in the singular values past the number of images; each direction counts with the squared
cosine between a measured and a true singular vector (Benaych-Georges and Nadakuditi, 2012;
Gavish and Donoho, 2017), which falls to 0 where noise alone would give as large a singular
value. Nothing is said of a gradient that is not finite.
"""

import dataclasses
import functools
from typing import ClassVar

import jax
import jax.numpy as jnp

from mamljax.attacks import base
from mamljax.attacks.base import (
  Requirements,
  Threshold,
  guarded,
)
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.first_layer import (
  first_gradient,
  first_layer,
  random_start,
  span_in_noise,
)
from mamljax.attacks.gradients.layers import layer_inputs
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import SpanReader
from mamljax.linear_algebra import product

_READER = "attack 'row_space'"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the row space.

  Attributes:
    singular_values: of the first layer's gradient, its columns in units of their noise,
      falling; at most as many as images.
    noise: the standard deviation of the noise of a number of the quietest column, as measured.
    doubt: the share of each direction that does not count, in [0, 1].
  """

  singular_values: jax.Array
  noise: jax.Array
  doubt: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class RowSpace(SpanReader):
  """Span of the first layer's gradient; both sets are in it, and the score is the same."""

  requires: ClassVar[Requirements] = {'query': base.Needs(), 'support': base.Needs()}
  # In single precision members leave 2e-5 at most, other images of the class 0.09 at least: in
  # 36,000 trials on MNIST and Fashion-MNIST (experiments/flagfiles/attacks/row_space.flags).
  threshold: ClassVar[Threshold] = -1e-2

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network without a fully connected layer on the images themselves."""
    first_layer(find_layers(knowledge.loss_fn, knowledge.params, image), _READER)

  @guarded
  def score(
    self, key: jax.Array, prepared: Knowledge, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Computes minus the share of [x; 1] outside the span, as a length: -1 to 0.

    Higher for a member. It does not depend on the scale of the gradient, nor on the order of
    images or pixels. A gradient of nothing but 0 is no evidence: -1.

    Args:
      key: a random key, for the search of the span.
      prepared: from `prepare`.
      observation: the received gradient and how many images each set has.
      candidate: the image x; its slot does not matter.

    Returns:
      A scalar and an `Info`.

    Raises:
      InputError: if no fully connected layer sees the images themselves.
    """
    layers = find_layers(prepared.loss_fn, prepared.params, candidate.image)
    layer = first_layer(layers, _READER)
    images = len(observation.support_labels) + len(observation.query_labels)
    matrix = first_gradient(layers, layer, observation.gradient)
    start = random_start(key, matrix, rank=images)
    # One after another: a batch of LAPACK's calls may wait for itself where there are several
    # CPU devices.
    span = jax.custom_batching.sequential_vmap(functools.partial(span_in_noise, rank=images))
    basis, values, noise, unit = span(matrix, start)
    doubt = _doubt(values, noise, matrix.shape)
    inputs = layer_inputs(layers, layer, prepared.params, candidate.image[None])
    point = jnp.append(inputs[0, 0], jnp.ones(len(matrix) - inputs.shape[-1]))
    point /= jnp.linalg.norm(point)
    along = product(basis.T, point)
    # Not 1 - sum(along^2): it would keep no more than half of the digits of a small remainder.
    outside = point - product(basis, along)
    remainder = jnp.sum(outside**2) + jnp.sum(doubt * along**2)
    return -jnp.sqrt(remainder), Info(singular_values=values, noise=noise * unit, doubt=doubt)


def _doubt(values: jax.Array, noise: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """One less the squared cosine of a measured and a true singular vector; 0 without noise."""
  ratio = shape[0] / shape[1]
  # In units in which the noise alone has values up to 1 + sqrt(ratio); without noise there
  # is no such unit, and a bound keeps the squares finite.
  measured = values / jnp.maximum(noise * shape[1] ** 0.5, 1e-8 * values.max() + 1e-30)
  shifted = measured**2 - ratio - 1
  signal = (shifted + jnp.sqrt(jnp.maximum(shifted**2 - 4 * ratio, 0))) / 2
  lost = ratio * (signal + 1) / (signal * (signal + ratio))
  seen = shifted > 2 * ratio**0.5
  return jnp.where(seen, lost, 1)
