"""Patch space: tests whether the candidate's patches lie in the span of a layer's gradient.

The gradient of a convolution is sum_ip a_ip delta_ip', over images i and places p of its
window: its columns are sums of what the window covered, [inputs, features], for any loss, any
number of inner steps and either set. This is `row_space`, some layers up. A deep layer has few
places, and a trained network hardly moves its features when it adapts (Raghu et al., 2020), so
that what a_ip is at w tells what it was at the adapted parameters. The layer with the most
features for each place is taken.

The support set counts twice and more, since its Hessian bends the inputs as well. Once all
these terms outnumber the features the span mixes them, and those that add little to the
gradient are lost: the images that a trained model is sure of, and the support set of an
untrained one. So the score is not how much of the candidate's patches is outside the span, but
how little it is beside public images like it. All is in units of the spread of public patches
within their class. What any image has in common with those known to be there, the means of the
classes and, where it is known, the query set, is no evidence and is taken out first.

Patches are those of an image by itself: under batch normalisation there are none.
"""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks import base
from mamljax.attacks.base import (
  Requirements,
  Threshold,
  guarded,
  required,
)
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.layers import (
  Layer,
  Layers,
  layer_gradient,
  layer_inputs,
  widest_layer,
)
from mamljax.attacks.knowledge import Candidate, Knowledge, Observation
from mamljax.attacks.readable import SpanReader
from mamljax.checks import count, nonnegative
from mamljax.images import as_floats
from mamljax.linear_algebra import make_whitener, product

_READER = "attack 'patch_space'"
_AT_ONCE = 64  # images that pass the network together
_SMALLEST = 1e-30  # of what is divided by


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Info(base.Info):
  """Diagnostics of the patch space.

  Attributes:
    outside: the share of the candidate's patches outside the span, as a square, in [0, 1].
    usual: that of each of the public images that are most like it.
    rank: directions of the span.
  """

  outside: jax.Array
  usual: jax.Array
  rank: jax.Array


class Prepared(NamedTuple):
  """The distribution of patches, as public images have it.

  Attributes:
    knowledge: that of the adversary, but for the references.
    whitener: [inputs, inputs], after which patches spread alike within their class.
    patches: whitened, of each public image, [images, places, inputs].
    squares: the sum of squares of each of these images' patches, [images].
    means: whitened, of each class, [classes, places, inputs].
  """

  knowledge: Knowledge
  whitener: jax.Array
  patches: jax.Array
  squares: jax.Array
  means: jax.Array


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class PatchSpace(SpanReader):
  """Span of the widest layer's gradient, for either set.

  The candidate is compared with public images like it. Where the support set is sought and the
  query set withheld, the latter is not taken out.

  Attributes:
    neighbours: public images like the candidate that say what is usual, at least two, or all if
      there are fewer (a length, so a change of it recompiles).
    ridge: addition to the covariance of patches, in units of its mean variance.
  """

  neighbours: int = dataclasses.field(default=100, metadata=count(2))
  ridge: float | jax.Array = dataclasses.field(default=0.01, metadata=nonnegative())

  requires: ClassVar[Requirements] = {
    'query': frozenset({'references', 'separate_images'}),
    'support': frozenset({'references', 'separate_images', 'query_set'}),
  }
  optional: ClassVar[Requirements] = {'support': frozenset({'query_set'})}
  threshold: ClassVar[Threshold] = None  # how far a member stands out depends on the network

  def check_model(self, knowledge: Knowledge, image: jax.ShapeDtypeStruct) -> None:
    """Refuses a network in which no layer is found whose gradient can be read."""
    _widest(knowledge, image)

  def prepare(self, key: jax.Array, knowledge: Knowledge) -> Prepared:
    """Learns how the patches of public images are distributed at w.

    Raises:
      InputError: if no layer of the network is fully connected or a convolution.
      ValueError: if there are no references, or not equally many of each class.
    """
    del key
    required(self, knowledge)
    if knowledge.references is None:
      raise ValueError('patches cannot be compared without references')
    pool = knowledge.references
    checks.references(pool)
    patches = _map_patches(knowledge, pool.images)
    by_class = patches.reshape(len(pool.counts), -1, *patches.shape[1:])
    means = by_class.mean(axis=1)
    apart = (by_class - means[:, None]).reshape(-1, patches.shape[-1])
    covariance = product(apart.T, apart) / len(apart)
    whiten = make_whitener(covariance, self.ridge, freedom=len(apart) - means[..., 0].size)
    known = dataclasses.replace(knowledge, references=None)
    patches, means = (product(part, whiten.T) for part in (patches, means))
    return Prepared(known, whiten, patches, jnp.sum(patches**2, axis=(1, 2)), means)

  @guarded
  def score(
    self, key: jax.Array, prepared: Prepared, observation: Observation, candidate: Candidate
  ) -> tuple[jax.Array, Info]:
    """Counts the deviations by which the candidate is nearer to the span than images like it.

    In logarithms of the square of what is outside. It depends neither on the scale of the
    gradient, nor on the order of the images, nor on the candidate's slot.

    Args:
      key: not used.
      prepared: from `prepare`.
      observation: the received gradient and, if it is not withheld, the query set, which is not
        looked at otherwise.
      candidate: the image x_0.

    Returns:
      A scalar and an `Info`.

    Raises:
      ValueError: if the support set is sought, and the query set neither known nor withheld.
    """
    del key
    own = product(_patches(prepared.knowledge, candidate.image[None]), prepared.whitener.T)
    alike = 2 * product(prepared.patches.reshape(-1, own.size), own.ravel()) - prepared.squares
    _, nearest = jax.lax.top_k(alike, min(self.neighbours, len(alike)))
    images = jnp.concatenate([own, prepared.patches[nearest]])
    layers, layer = _widest(prepared.knowledge, candidate.image)
    gradient = layer_gradient(layers, layer, observation.gradient)
    columns = product(prepared.whitener, gradient)
    spans = _spans(_common(prepared, observation), columns)
    outside = _outside(images, spans)
    logs = jnp.log(jnp.maximum(outside, _SMALLEST))
    usual = logs[1:]
    deviations = (usual.mean() - logs[0]) / jnp.maximum(usual.std(), 1e-6)
    return deviations, Info(outside=outside[0], usual=outside[1:], rank=spans.rank)


def _common(prepared: Prepared, observation: Observation) -> jax.Array:
  """Patches that are no evidence: of the means and of a known query set, [rows, inputs]."""
  known = prepared.knowledge
  means = prepared.means.reshape(-1, prepared.means.shape[-1])
  if known.target == 'query' or 'query_set' in known.withheld:
    return means
  if observation.query_set is None:
    raise ValueError('the query set is not known, and not withheld from the adversary')
  query = _patches(known, observation.query_set.images)
  query = product(query, prepared.whitener.T)
  return jnp.concatenate([means, query.reshape(-1, means.shape[-1])])


class Spans(NamedTuple):
  """Orthonormal bases of what is looked at.

  Attributes:
    shared: of what is no evidence, [inputs, directions].
    basis: of the gradient's columns without it, [inputs, directions].
    rank: how many directions of the latter count.
  """

  shared: jax.Array
  basis: jax.Array
  rank: jax.Array


# One after another: a batch of LAPACK's calls may wait for itself on several CPU devices.
@jax.custom_batching.sequential_vmap
def _spans(common: jax.Array, columns: jax.Array) -> Spans:
  """The spans of what is no evidence and, without it, of the columns.

  Args:
    common: what is no evidence, [rows, inputs]; at most half of the directions are taken out.
    columns: [inputs, features]; those that are not finite, which LAPACK may not end on, are 0.
  """
  shared, _ = _span(common.T, most=len(columns) // 2)
  columns = jnp.where(jnp.isfinite(columns).all(axis=0), columns, 0)
  columns = columns / jnp.maximum(jnp.abs(columns).max(axis=0), _SMALLEST)
  basis, rank = _span(_without(columns.T, shared).T, most=columns.shape[1])
  return Spans(shared, basis, rank)


def _outside(images: jax.Array, spans: Spans) -> jax.Array:
  """The share of each image's patches outside the span of the columns, [images].

  An image of which nothing is left without what is no evidence is outside.

  Args:
    images: [images, places, inputs].
    spans: of what is received.
  """
  images = _without(images, spans.shared)
  whole = jnp.sum(images**2, axis=(1, 2))
  left = jnp.sum(_remove(images, spans.basis) ** 2, axis=(1, 2))
  return jnp.where(whole > 0, left / jnp.maximum(whole, _SMALLEST), 1)


def _without(rows: jax.Array, basis: jax.Array) -> jax.Array:
  """The rows without their share along a basis; zero where only rounding would be left."""
  left = _remove(rows, basis)
  before, after = (jnp.sum(part**2, axis=-1, keepdims=True) for part in (rows, left))
  rounding = rows.shape[-1] * jnp.finfo(rows.dtype).eps ** 2
  return jnp.where(after > 100 * rounding * before, left, 0)


def _span(columns: jax.Array, *, most: int) -> tuple[jax.Array, jax.Array]:
  """Leading directions of what the columns span [inputs, directions], and how many count.

  Every column counts alike, however small. Those that only rounding tells are zeros.
  """
  lengths = jnp.linalg.norm(columns, axis=0)
  even = columns / jnp.maximum(lengths, _SMALLEST)
  left, values, _ = jnp.linalg.svd(even, full_matrices=False)
  rounding = jnp.finfo(columns.dtype).eps * max(columns.shape)
  counts = (values > rounding * values.max())[:most]
  return left[:, :most] * counts, counts.sum()


def _remove(rows: jax.Array, basis: jax.Array) -> jax.Array:
  """The rows without their share along an orthonormal basis."""
  return rows - product(product(rows, basis), basis.T)


def _widest(knowledge: Knowledge, image: Any) -> tuple[Layers, Layer]:
  """The layers of the network, and the one whose patches are compared."""
  layers = find_layers(knowledge.loss_fn, knowledge.params, image)
  return layers, widest_layer(layers, _READER)


def _patches(knowledge: Knowledge, images: jax.Array) -> jax.Array:
  """Inputs of the compared layer at w, [n, places, inputs]."""
  return layer_inputs(*_widest(knowledge, images[0]), knowledge.params, images)


def _map_patches(knowledge: Knowledge, images: jax.Array) -> jax.Array:
  """Inputs of the compared layer for many images as a pool holds them, a part at a time."""

  def one(image: jax.Array) -> jax.Array:
    return _patches(knowledge, as_floats(image[None]))[0]

  return jax.lax.map(one, images, batch_size=_AT_ONCE)
