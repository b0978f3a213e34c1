"""Products of weights with what enters a layer, as rows [places, inputs] @ [inputs, features].

`dot_general` multiplies along any axes, `conv_general_dilated` under any window and in any
order of axes; both in groups. The matrix of a product in groups is block-diagonal, so that
rows and columns keep their meaning: the gradient's columns are sums of the rows.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.convolution import windows

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Contraction:
  """A product of weights with inputs.

  Attributes:
    places: rows of the product.
    inputs: numbers that enter at a place, of all groups.
    features: numbers that leave at a place, of all groups.
    groups: of inputs that are multiplied with weights of their own.
  """

  places: int
  inputs: int
  features: int
  groups: int

  def rows(self, entering: jax.Array) -> jax.Array:
    """The inputs at each place, [places, inputs]."""
    raise NotImplementedError

  def matrix(self, weights: jax.Array) -> jax.Array:
    """The weights, or their gradient, as [inputs, features]."""
    raise NotImplementedError

  def columns(self, leaving: jax.Array) -> jax.Array:
    """The outputs at each place, [places, features]."""
    raise NotImplementedError

  def marks(self) -> np.ndarray:
    """The feature that each output belongs to, in the shape of the outputs."""
    raise NotImplementedError

  def weighed(self) -> np.ndarray:
    """The entries of the matrix that are weights: not those between two groups."""
    sizes = self.inputs // self.groups, self.features // self.groups
    return np.kron(np.eye(self.groups, dtype=bool), np.ones(sizes, bool))


@dataclasses.dataclass(frozen=True)
class Product(Contraction):
  """A `dot_general`.

  Attributes:
    of_weights: batch, contracted and free axes of the weights.
    of_inputs: those of what enters.
    leaving: shape of the result.
    weights_first: True if the weights are its first operand.
  """

  of_weights: tuple[Shape, Shape, Shape]
  of_inputs: tuple[Shape, Shape, Shape]
  leaving: Shape
  weights_first: bool

  def rows(self, entering: jax.Array) -> jax.Array:
    """The inputs at each place, [places, inputs]."""
    batch, contracted, free = self.of_inputs
    rows = entering.transpose(batch + free + contracted)
    return _side_by_side(rows.reshape(self.groups, self.places, -1))

  def matrix(self, weights: jax.Array) -> jax.Array:
    """The weights, or their gradient, as [inputs, features]."""
    batch, contracted, free = self.of_weights
    blocks = weights.transpose(batch + contracted + free)
    return _block_diagonal(blocks.reshape(self.groups, self.inputs // self.groups, -1))

  def columns(self, leaving: jax.Array) -> jax.Array:
    """The outputs at each place, [places, features]."""
    if self.weights_first:
      parts = leaving.reshape(self.groups, -1, self.places).transpose(0, 2, 1)
    else:
      parts = leaving.reshape(self.groups, self.places, -1)
    return _side_by_side(parts)

  def marks(self) -> np.ndarray:
    """The feature that each output belongs to, in the shape of the outputs."""
    marks = np.arange(self.features).reshape(self.groups, -1)
    marks = marks[:, :, None] if self.weights_first else marks[:, None, :]
    each = self.features // self.groups
    sizes = (each, self.places) if self.weights_first else (self.places, each)
    return np.broadcast_to(marks, (self.groups, *sizes)).reshape(self.leaving)


@dataclasses.dataclass(frozen=True)
class Convolution(Contraction):
  """A `conv_general_dilated`.

  Attributes:
    params: of the primitive.
    window: sizes of the window.
    leaving: shape of the result.
  """

  params: Mapping[str, Any]
  window: Shape
  leaving: Shape

  def rows(self, entering: jax.Array) -> jax.Array:
    """The inputs at each place, [places, inputs]."""
    batch, channel, *space = self.params['dimension_numbers'].lhs_spec
    covered = windows(
      entering.transpose((batch, *space, channel)),
      self.window,
      strides=self.params['window_strides'],
      padding=self.params['padding'],
      spread=self.params['lhs_dilation'],
      dilation=self.params['rhs_dilation'],
    )
    covered = covered.reshape(self.places, math.prod(self.window), self.groups, -1)
    return covered.transpose(0, 2, 1, 3).reshape(self.places, self.inputs)

  def matrix(self, weights: jax.Array) -> jax.Array:
    """The weights, or their gradient, as [inputs, features]."""
    feature, channel, *space = self.params['dimension_numbers'].rhs_spec
    blocks = weights.transpose((*space, channel, feature))
    blocks = blocks.reshape(self.inputs // self.groups, self.groups, -1)
    return _block_diagonal(blocks.transpose(1, 0, 2))

  def columns(self, leaving: jax.Array) -> jax.Array:
    """The outputs at each place, [places, features]."""
    batch, feature, *space = self.params['dimension_numbers'].out_spec
    return leaving.transpose((batch, *space, feature)).reshape(self.places, self.features)

  def marks(self) -> np.ndarray:
    """The feature that each output belongs to, in the shape of the outputs."""
    feature = self.params['dimension_numbers'].out_spec[1]
    ones = [1] * len(self.leaving)
    ones[feature] = self.features
    return np.broadcast_to(np.arange(self.features).reshape(ones), self.leaving)


def contraction_of(
  name: str,
  params: Mapping[str, Any],
  shapes: tuple[Shape, Shape],
  leaving: Shape,
  *,
  weights_first: bool,
) -> Contraction | None:
  """The product that an operation forms of weights; None if it forms none.

  Args:
    name: of its primitive.
    params: of its primitive.
    shapes: of its two operands.
    leaving: shape of its result.
    weights_first: True if the weights are its first operand.
  """
  if name == 'dot_general':
    return _product(params, shapes, leaving, weights_first)
  one_way = not weights_first and params.get('batch_group_count') == 1
  if name == 'conv_general_dilated' and one_way:
    return _convolution(params, shapes[1], leaving)
  return None


def _product(
  params: Mapping[str, Any], shapes: tuple[Shape, Shape], leaving: Shape, first: bool
) -> Product:
  contracted, batch = params['dimension_numbers']
  axes = []
  for shape, summed, shared in zip(shapes, contracted, batch, strict=True):
    free = tuple(at for at in range(len(shape)) if at not in {*summed, *shared})
    axes.append((tuple(map(int, shared)), tuple(map(int, summed)), free))
  sizes = [
    [math.prod(s[at] for at in part) for part in a] for s, a in zip(shapes, axes, strict=True)
  ]
  (groups, inputs, features), (*_, places) = sizes if first else sizes[::-1]
  return Product(
    places=places,
    inputs=groups * inputs,
    features=groups * features,
    groups=groups,
    of_weights=axes[0 if first else 1],
    of_inputs=axes[1 if first else 0],
    leaving=leaving,
    weights_first=first,
  )


def _convolution(params: Mapping[str, Any], weights: Shape, leaving: Shape) -> Convolution:
  feature, channel, *space = params['dimension_numbers'].rhs_spec
  window, groups = tuple(weights[at] for at in space), params['feature_group_count']
  return Convolution(
    places=math.prod(leaving) // weights[feature],
    inputs=math.prod(window) * weights[channel] * groups,
    features=weights[feature],
    groups=groups,
    params=params,
    window=window,
    leaving=leaving,
  )


def _side_by_side(parts: jax.Array) -> jax.Array:
  """[groups, places, numbers] as [places, groups * numbers]."""
  return parts.transpose(1, 0, 2).reshape(parts.shape[1], -1)


def _block_diagonal(blocks: jax.Array) -> jax.Array:
  """[groups, rows, columns] as [groups * rows, groups * columns], zero between groups."""
  groups, rows, columns = blocks.shape
  if groups == 1:
    return blocks[0]
  own = jnp.eye(groups, dtype=bool)[:, None, :, None]
  return jnp.where(own, blocks[:, :, None], 0).reshape(groups * rows, groups * columns)
