"""The gradient of a fully connected network as factors that are never multiplied out.

A dense layer with inputs A [n, in] and slopes D [n, out] of the loss in its outputs has the
gradient A'D in its weights and 1'D in its biases. A cosine needs two inner products of them,
and the factors give those without a matrix of the weights' shape:

    <A'D, G> = <D, AG>,        <A'D, A'D> = <AA', DD'>.

For few images that is less arithmetic, and far less memory to go through.
"""

import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from mamljax.attacks.gradients.layers import visit_layers
from mamljax.attacks.gradients.names import by_path
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


def dense_outputs(
  loss_fn: LossFn, params: Params, batch: Batch
) -> dict[tuple[str, ...], jax.ShapeDtypeStruct] | None:
  """The outputs of each `flax.linen.Dense` by its path, where factors are all and cheaper.

  Returns:
    None unless every parameter is the kernel or bias of a layer that is applied once, to
    inputs [n, in], and the images so few that n (in + out) < in out, summed over layers.
  """
  calls = []

  def note(layer: nn.Module, inputs: jax.Array, outputs: jax.Array) -> jax.Array:
    calls.append((layer.path, jax.ShapeDtypeStruct(outputs.shape, outputs.dtype)))
    return outputs

  visit = functools.partial(visit_layers, loss_fn, note, kinds=(nn.Dense,))
  jax.eval_shape(visit, params, batch)
  leaves = by_path(params)
  owners = sorted((*path, name) for path, _ in calls for name in ('bias', 'kernel'))
  if owners != sorted(leaves) or any(len(outputs.shape) != 2 for _, outputs in calls):
    return None
  kernels = [leaf.shape for path, leaf in leaves.items() if path[-1] == 'kernel']
  saved = sum(math.prod(shape) - len(batch.labels) * sum(shape) for shape in kernels)
  return dict(calls) if saved > 0 else None


def factor_gradient(
  loss_fn: LossFn, params: Params, batch: Batch, outputs: Mapping[tuple[str, ...], Any]
) -> dict[tuple[str, ...], Factors]:
  """The gradient of such a loss, a pair for each layer; `outputs` are its `dense_outputs`."""

  def shifted(shifts: Mapping[tuple[str, ...], jax.Array]) -> tuple[jax.Array, Any]:
    inputs = {}

    def shift(layer: nn.Module, entering: jax.Array, leaving: jax.Array) -> jax.Array:
      inputs[layer.path] = entering
      return leaving + shifts[layer.path]

    return visit_layers(loss_fn, shift, params, batch, kinds=(nn.Dense,)), inputs

  zeros = {path: jnp.zeros(like.shape, like.dtype) for path, like in outputs.items()}
  slopes, inputs = jax.grad(shifted, has_aux=True)(zeros)
  return {path: Factors(inputs[path], slopes[path]) for path in slopes}


def vdot(factors: Mapping[tuple[str, ...], Factors], gradient: Params) -> jax.Array:
  """The inner product with a gradient of the parameters' shapes, biases included."""
  layers = by_path(gradient)
  parts = [
    jnp.vdot(f.slopes, product(f.inputs, layers[*path, 'kernel']) + layers[*path, 'bias'])
    for path, f in factors.items()
  ]
  return jnp.asarray(sum(parts))


def squared_norm(factors: Mapping[tuple[str, ...], Factors]) -> jax.Array:
  """The inner product with itself, biases included."""
  parts = [
    jnp.vdot(product(f.inputs, f.inputs.T) + 1, product(f.slopes, f.slopes.T))
    for f in factors.values()
  ]
  return jnp.asarray(sum(parts))
