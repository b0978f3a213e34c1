"""Whether the candidate lies in the span of the first layer's gradient: no optimisation.

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
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.names import check_layers, describe
from mamljax.attacks.observation import Candidate, Knowledge, Observation
from mamljax.attacks.products import product
from mamljax.attacks.refusal import refuses_divergence
from mamljax.checks import Checked, choice
from mamljax.errors import InputError
from mamljax.types import Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Options(Checked):
  """How the span is searched.

  Attributes:
    target: the set that is sought; both sets are in one span, and the score is the same.
  """

  target: str = dataclasses.field(default='query', metadata=choice('query', 'support'))


class Info(NamedTuple):
  """What the attack saw on its way.

  Attributes:
    singular_values: of the first layer's gradient, its columns in units of their noise,
      falling; at most as many as images.
    noise: the standard deviation of the noise of a number of the quietest column, as measured.
    doubt: the share of each direction that does not count, in [0, 1].
  """

  singular_values: jax.Array
  noise: jax.Array
  doubt: jax.Array


REQUIRES = {'query': frozenset[str](), 'support': frozenset[str]()}
# In single precision members leave 2e-5 at most, other images of the class 0.09 at least: in
# 36,000 trials on MNIST and Fashion-MNIST (experiments/flagfiles/attacks/row_space.flags).
THRESHOLD = -1e-2

_OVERSAMPLING = 8  # directions beyond those sought (Halko et al., 2011)
_POWERS = 1
_SMALLEST = 1e-30  # of what is divided by
_READER = "attack 'row_space'"


def prepare(key: jax.Array, knowledge: Knowledge, *, options: Options) -> Knowledge:
  """Nothing to prepare, but networks that the attack cannot be run on are refused.

  Raises:
    InputError: if there is no layer that takes all pixels at once, or layers have no names.
  """
  del key, options
  check_layers(knowledge.params, _READER)
  for path, leaf in jax.tree_util.tree_leaves_with_path(knowledge.params):
    if leaf.ndim > 2:
      name = '/'.join(str(getattr(part, 'key', part)) for part in path)
      raise InputError(
        f"attack 'row_space' needs a network whose first layer is fully connected, such as "
        f"'mlp': {name} has the shape {list(leaf.shape)}"
      )
  return knowledge


@refuses_divergence
def score(
  key: jax.Array,
  prepared: Knowledge,
  observation: Observation,
  candidate: Candidate,
  *,
  options: Options,
) -> tuple[jax.Array, Info]:
  """Minus the share of [x; 1] outside the span, as a length: -1 to 0, higher for a member.

  It does not depend on the scale of the gradient, nor on the order of images or pixels. A
  gradient of nothing but 0 is no evidence: -1.

  Args:
    key: a random key, for the search of the span.
    prepared: from `prepare`.
    observation: the received gradient and how many images each set has.
    candidate: the image x; its slot does not matter.
    options: the targeted set.

  Returns:
    A scalar and an `Info`.

  Raises:
    InputError: if there is no layer that takes all pixels at once.
  """
  candidate.check()
  del prepared, options
  images = len(observation.support_labels) + len(observation.query_labels)
  matrix, has_bias = first_layer(observation.gradient, candidate.image.size)
  start = random_start(key, matrix, rank=images)
  # One after another: a batch of LAPACK's calls may wait for itself where there are several
  # CPU devices.
  span = jax.custom_batching.sequential_vmap(functools.partial(span_in_noise, rank=images))
  basis, values, noise, unit = span(matrix, start)
  doubt = _doubt(values, noise, matrix.shape)
  point = jnp.append(candidate.image.ravel(), jnp.ones(has_bias))
  point /= jnp.linalg.norm(point)
  along = product(basis.T, point)
  # Not 1 - sum(along^2): it would keep no more than half of the digits of a small remainder.
  outside = point - product(basis, along)
  remainder = jnp.sum(outside**2) + jnp.sum(doubt * along**2)
  return -jnp.sqrt(remainder), Info(values, noise * unit, doubt)


def first_layer(
  gradient: Params, pixels: int, *, reader: str = _READER
) -> tuple[jax.Array, int]:
  """The gradient of the layer on the pixels [pixels (+ 1 for a bias), width], and that 1 or 0.

  It is the first layer with a kernel of that shape; its bias is the vector beside it. `reader`
  is what an error names.

  Raises:
    InputError: if there is none.
  """
  check_layers(gradient, reader)
  for layer in gradient.values():
    parts = layer if isinstance(layer, dict) else {'kernel': layer}
    kernel: Any = parts.get('kernel')
    if getattr(kernel, 'ndim', 0) == 2 and kernel.shape[0] == pixels:
      bias = [parts['bias'][None]] if 'bias' in parts else []
      return jnp.concatenate([kernel, *bias]), len(bias)
  raise InputError(
    f"{reader}: no layer takes all {pixels} pixels at once in a 'kernel', of those named "
    f'{describe(gradient)}'
  )


def random_start(key: jax.Array, matrix: jax.Array, *, rank: int) -> jax.Array:
  """Where a search of the span begins: random numbers [columns, somewhat more than `rank`]."""
  return jax.random.normal(key, (matrix.shape[1], min(rank + _OVERSAMPLING, *matrix.shape)))


def span_in_noise(
  matrix: jax.Array, start: jax.Array, *, rank: int
) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """What columns span, each of them in units of its noise.

  Args:
    matrix: [rows, columns]; columns that are not finite, which LAPACK may not end on, are 0.
    start: from `random_start`.
    rank: directions that are sought.

  Returns:
    The leading left singular vectors [rows, rank], their singular values, the noise of a
    number of the scaled matrix and what that is in units of the matrix in its quietest column.
  """
  even, unit = _even_out(matrix, start)
  return *_span(even, start, rank=rank), unit


def _even_out(matrix: jax.Array, start: jax.Array) -> tuple[jax.Array, jax.Array]:
  """The finite columns, each in units of its noise, 0 for others; and the least such unit.

  What is left of the quietest column outside the span tells the noise that all columns share;
  each has its rounding as well. No square overflows, nor does a small column vanish.
  """
  finite = jnp.isfinite(matrix).all(axis=0)
  matrix = jnp.where(finite, matrix, 0)
  largest = jnp.maximum(jnp.abs(matrix).max(), _SMALLEST)
  matrix /= largest
  basis = jnp.linalg.qr(product(matrix, start))[0]
  rest = matrix - product(basis, product(basis.T, matrix))
  shared = jnp.sqrt(jnp.min(jnp.mean(rest**2, axis=0), initial=1, where=finite))
  rounding = jnp.finfo(matrix.dtype).eps * jnp.abs(matrix).max(axis=0)
  noise = jnp.maximum(jnp.maximum(shared, rounding), _SMALLEST)
  return matrix / noise, jnp.min(noise, initial=1, where=finite) * largest


def _span(
  matrix: jax.Array, start: jax.Array, *, rank: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The leading left singular vectors and values, at most `rank`, and the noise of the rest.

  A randomised decomposition with power iterations: a tenth of the time of a full one, and as
  good, since what is left out is noise.
  """
  rank = min(rank, *matrix.shape)
  basis = jnp.linalg.qr(product(matrix, start))[0]
  for _ in range(_POWERS):
    basis = jnp.linalg.qr(product(matrix, jnp.linalg.qr(product(matrix.T, basis))[0]))[0]
  inner = product(basis.T, matrix)
  left, values, _ = jnp.linalg.svd(inner, full_matrices=False)
  freedom = (matrix.shape[0] - rank) * (matrix.shape[1] - rank)
  rest = jnp.sum((matrix - product(basis, inner)) ** 2) + jnp.sum(values[rank:] ** 2)
  noise = jnp.sqrt(rest / max(freedom, 1)) if freedom else jnp.zeros(())
  return product(basis, left[:, :rank]), values[:rank], noise


def _doubt(values: jax.Array, noise: jax.Array, shape: tuple[int, ...]) -> jax.Array:
  """1 less the squared cosine of a measured and a true singular vector; 0 without noise."""
  ratio = shape[0] / shape[1]
  # In units in which the noise alone has values up to 1 + sqrt(ratio); without noise there
  # is no such unit, and a bound keeps the squares finite.
  measured = values / jnp.maximum(noise * shape[1] ** 0.5, 1e-8 * values.max() + 1e-30)
  shifted = measured**2 - ratio - 1
  signal = (shifted + jnp.sqrt(jnp.maximum(shifted**2 - 4 * ratio, 0))) / 2
  lost = ratio * (signal + 1) / (signal * (signal + ratio))
  seen = shifted > 2 * ratio**0.5
  return jnp.where(seen, lost, 1)
