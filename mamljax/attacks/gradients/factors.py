"""The gradient of a fully connected network as factors that are never multiplied out.

A dense layer with inputs A [n, in] and slopes D [n, out] of the loss in its outputs has the
gradient A'D in its weights and 1'D in its biases. A cosine needs two inner products of them,
and the factors give those without a matrix of the weights' shape:

    <A'D, G> = <D, AG>,        <A'D, A'D> = <AA', DD'>.

For few images that is less arithmetic, and far less memory to go through.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.gradients.contractions import Convolution
from mamljax.attacks.gradients.finding import layers_of
from mamljax.attacks.gradients.layers import (
  Layers,
  bias_gradient,
  layer_gradient,
  pass_batch,
)
from mamljax.linear_algebra import product
from mamljax.types import Batch, LossFn, Params


class Factors(NamedTuple):
  """The gradient of a dense layer.

  Attributes:
    inputs: A, [n, in].
    slopes: D, of the loss in the layer's outputs, [n, out].
  """

  inputs: jax.Array
  slopes: jax.Array


def dense_layers(loss_fn: LossFn, params: Params, batch: Batch) -> Layers | None:
  """The layers of a network, where factors are all of its gradient, and cheaper.

  Returns:
    None unless every parameter is the weights or the bias of a layer that is applied once to
    each image, and the images so few that n (in + out) < in out, summed over layers.
  """
  layers, n = layers_of(loss_fn, params, batch), len(batch.labels)
  owned = [layer.weights.leaf for layer in layers.seen]
  owned += [layer.bias.leaf for layer in layers.seen if layer.bias]
  if layers.program.custom or sorted(owned) != list(range(len(layers.names))):
    return None
  products = [layer.product for layer in layers.found]
  if any(p.places != n or p.groups > 1 or isinstance(p, Convolution) for p in products):
    return None
  saved = sum(p.inputs * p.features - n * (p.inputs + p.features) for p in products)
  return layers if saved > 0 else None


def factor_gradient(layers: Layers, params: Params, batch: Batch) -> list[Factors]:
  """The gradient of such a loss, a pair for each layer; `layers` are its `dense_layers`."""
  program, found = layers.program, layers.found
  passed = pass_batch(program, found, params, batch, value=program.loss)
  return [
    Factors(layer.product.rows(one.entering), layer.product.columns(one.slopes))
    for layer, one in zip(found, passed, strict=True)
  ]


def vdot(layers: Layers, factors: Sequence[Factors], gradient: Params) -> jax.Array:
  """The inner product with a gradient of the parameters' shapes, biases included."""
  parts = []
  for layer, f in zip(layers.found, factors, strict=True):
    along = product(f.inputs, layer_gradient(layers, layer, gradient))
    bias = bias_gradient(layers, layer, gradient)
    parts.append(jnp.vdot(f.slopes, along if bias is None else along + bias))
  return jnp.asarray(sum(parts))


def squared_norm(layers: Layers, factors: Sequence[Factors]) -> jax.Array:
  """The inner product with itself, biases included."""
  parts = [
    jnp.vdot(
      product(f.inputs, f.inputs.T) + (layer.bias is not None), product(f.slopes, f.slopes.T)
    )
    for layer, f in zip(layers.found, factors, strict=True)
  ]
  return jnp.asarray(sum(parts))
