"""The layers of a network, what enters them and their gradients.

A layer is a product of weights, which are parameters, with what depends on the images. On
inputs a_ip at places p of image i it has the gradient sum_ip a_ip delta_ip' in its weights,
[inputs, features]. A fully connected layer on whole images has one place; a convolution has the
places of its window, and a_ip is what the window covers there. `finding` finds layers in the
computation of a loss.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.attacks.gradients.contractions import Contraction
from mamljax.attacks.gradients.moves import View
from mamljax.attacks.gradients.program import Program
from mamljax.errors import InputError
from mamljax.types import Batch, Params


class Bias(NamedTuple):
  """A parameter that is added to what leaves a layer, one number for each feature.

  Attributes:
    leaf: its place among the leaves of the parameters.
    order: where each feature's number lies in the flattened leaf, [features].
  """

  leaf: int
  order: np.ndarray


@dataclasses.dataclass(frozen=True)
class Layer:
  """A layer of a network.

  Attributes:
    name: path of its weights among the parameters, for messages.
    weights: the parameter that its weights are, or are part of.
    bias: its biases, None if it has none of its own.
    product: its places, inputs, features and groups.
    entering: number of the value that enters, in the program.
    leaving: number of the product, in the program.
    reach: the parameters' leaves that what enters depends on; none of a first layer.
    fault: the reason why its gradient is not that of one layer, None if it is.
  """

  name: str
  weights: View
  bias: Bias | None
  product: Contraction
  entering: int
  leaving: int
  reach: frozenset[int]
  fault: str | None = None

  @property
  def places(self) -> int:
    """Number of times that it is applied to one image."""
    return self.product.places

  @property
  def columns(self) -> int:
    """Columns of its gradient that are sums of the same inputs."""
    return self.product.features // self.product.groups


class Layers(NamedTuple):
  """The layers of a network, as one image passes them.

  Attributes:
    program: the computation of the loss.
    names: the path of each leaf of the parameters.
    shapes: the shape of each leaf.
    found: all of them, in order; the last one makes the logits.
    others: for parameters with two axes or more that are in no layer, the reason.
  """

  program: Program
  names: tuple[str, ...]
  shapes: tuple[tuple[int, ...], ...]
  found: tuple[Layer, ...]
  others: tuple[str, ...]

  @property
  def seen(self) -> tuple[Layer, ...]:
    """The layers whose gradient is their own."""
    return tuple(layer for layer in self.found if layer.fault is None)

  def faults(self) -> str:
    """The reasons why parameters are in no layer, or in none of their own, for a message."""
    reasons = [layer.fault for layer in self.found if layer.fault] + list(self.others)
    return '; '.join([*reasons[:3], *(['...'] if reasons[3:] else [])])


def widest_layer(layers: Layers, reader: str) -> Layer:
  """The layer with the most columns for each of its places, of equals the first.

  Its gradient has the most columns for what they are sums of. The last layer, whose columns are
  the logits' and sum to zero, is taken only if there is no other.

  Raises:
    InputError: if there is no layer; it names the `reader`.
  """
  check_seen(layers, reader)
  inner = [layer for layer in layers.seen if layer is not layers.found[-1]]
  return max(inner or layers.seen, key=lambda layer: layer.columns / layer.places)


def check_seen(layers: Layers, reader: str) -> None:
  """Refuses a network without a layer whose gradient is its own.

  Raises:
    InputError: if there is none; it names the `reader`.
  """
  if not layers.seen:
    why = layers.faults() or 'it multiplies no parameters with what depends on the images'
    raise InputError(
      f'{reader} finds no layer of the network whose gradient it can read: {why}'
    )


class Passed(NamedTuple):
  """A batch in one layer, each value as the program has it.

  Attributes:
    entering: what enters the layer.
    leaving: the product.
    slopes: those of a number in what leaves.
  """

  entering: jax.Array
  leaving: jax.Array
  slopes: jax.Array


def pass_batch(
  program: Program,
  among: Sequence[Layer],
  params: Params,
  batch: Batch,
  *,
  value: int,
  number: Callable[[jax.Array], jax.Array] = lambda value: value,
) -> list[Passed]:
  """Passes a batch forwards through some layers, and the slopes of a number backwards.

  Args:
    program: the computation of the loss.
    among: the layers.
    params: the parameters.
    batch: a batch of the shapes of the program.
    value: the number, in the program, of the value that the slopes are of, such as the loss.
    number: makes one number of that value.

  Returns:
    What passed each of the layers.
  """
  entering, leaving = [x.entering for x in among], [x.leaving for x in among]

  def shifted(shifts: dict[int, jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
    made, *values = program.run(params, batch, [value, *entering, *leaving], shifts=shifts)
    return number(made), values

  avals = {at: program.avals[at] for at in leaving}
  zeros = {at: jnp.zeros(aval.shape, aval.dtype) for at, aval in avals.items()}
  slopes, values = jax.grad(shifted, has_aux=True)(zeros)
  rows = values[: len(among)], values[len(among) :], [slopes[at] for at in leaving]
  return [Passed(*row) for row in zip(*rows, strict=True)]


def layer_inputs(layers: Layers, layer: Layer, params: Params, images: jax.Array) -> jax.Array:
  """Inputs of a layer, of each image by itself, [n, places, inputs].

  It costs no more than to compute the network up to there. The last axis is in the order of
  the rows of `layer_gradient`.
  """
  program, label = layers.program, layers.program.avals[layers.program.labels]

  def one(image: jax.Array) -> jax.Array:
    batch = Batch(image[None], jnp.zeros(label.shape, label.dtype))
    (entering,) = program.run(params, batch, [layer.entering])
    return layer.product.rows(entering)

  return jax.vmap(one)(images)


def layer_gradient(layers: Layers, layer: Layer, gradient: Params) -> jax.Array:
  """The gradient of a layer's weights, [inputs, features], or the weights themselves.

  Raises:
    InputError: if the gradient is not like the parameters.
  """
  leaf = _leaf(layers, gradient, layer.weights.leaf)
  return layer.product.matrix(layer.weights.of(leaf))


def bias_gradient(layers: Layers, layer: Layer, gradient: Params) -> jax.Array | None:
  """The gradient of a layer's biases, [features], or the biases; None if it has none.

  Raises:
    InputError: if the gradient is not like the parameters.
  """
  if layer.bias is None:
    return None
  leaf, order = _leaf(layers, gradient, layer.bias.leaf).reshape(-1), layer.bias.order
  return leaf if np.array_equal(order, np.arange(leaf.size)) else leaf[order]


def _leaf(layers: Layers, gradient: Params, at: int) -> Any:
  """A leaf of a pytree like the parameters."""
  leaves = jax.tree.leaves(gradient)
  shapes = tuple(jnp.shape(leaf) for leaf in leaves)
  if shapes == layers.shapes:
    return leaves[at]
  if len(shapes) != len(layers.shapes):
    raise InputError(
      f'a gradient of {len(shapes)} arrays is not one of parameters of {len(layers.shapes)}'
    )
  pairs = zip(layers.names, layers.shapes, shapes, strict=True)
  name, shape, other = next(pair for pair in pairs if pair[1] != pair[2])
  raise InputError(f'the gradient of {name!r} has the shape {list(other)}, not {list(shape)}')
