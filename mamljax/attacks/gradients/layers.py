"""Inputs of a layer, place by place: the factor of its gradient that the images choose.

A fully connected layer on inputs a_i has the gradient sum_i a_i delta_i' in its weights,
[inputs, features]. A convolution has the same with a sum over the places of its window: a_ip is
then the patch of the image, or of the layer before, that the window covers at place p.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax

from mamljax.attacks.gradients.names import by_path, describe
from mamljax.convolution import patches
from mamljax.errors import InputError
from mamljax.networks import Convolution
from mamljax.types import Batch, LossFn, Params

Path = tuple[str, ...]
Visit = Callable[[nn.Module, jax.Array, jax.Array], jax.Array]

KINDS = (nn.Dense, Convolution)


class Layer(NamedTuple):
  """A layer of a network.

  Attributes:
    path: the names that lead to its parameters.
    places: how often it is applied to one image.
    features: its outputs at a place, the columns of its gradient.
  """

  path: Path
  places: int
  features: int


def visit_layers(
  loss_fn: LossFn,
  visit: Visit,
  params: Params,
  batch: Batch,
  *,
  kinds: tuple[type[nn.Module], ...] = KINDS,
) -> jax.Array:
  """The loss, with `visit(layer, inputs, outputs)` for the outputs of each layer of a kind."""

  def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
    outputs = call(*args, **kwargs)
    if isinstance(context.module, kinds) and context.method_name == '__call__':
      return visit(context.module, args[0], outputs)
    return outputs

  with nn.intercept_methods(intercept):
    return loss_fn(params, batch)


def widest_layer(loss_fn: LossFn, params: Params, batch: Batch) -> Layer:
  """The layer with the most features for each of its places, of equals the first.

  Its gradient has the most columns for what they are sums of. The last layer, whose columns are
  the logits' and sum to zero, is taken only if there is no other.

  Raises:
    InputError: if no layer is a `flax.linen.Dense` or a `mamljax.networks.Convolution`.
  """
  layers = []

  def note(layer: nn.Module, inputs: jax.Array, outputs: jax.Array) -> jax.Array:
    del inputs
    *places, features = outputs.shape[1:]
    layers.append(Layer(layer.path, math.prod(places), features))
    return outputs

  jax.eval_shape(functools.partial(visit_layers, loss_fn, note), params, batch)
  if not layers:
    raise InputError('no layer of the network is a flax.linen.Dense or a mamljax Convolution')
  return max(layers[:-1] or layers, key=lambda layer: layer.features / layer.places)


def layer_inputs(loss_fn: LossFn, params: Params, batch: Batch, path: Path) -> jax.Array:
  """Inputs of the layer at `path`, [n, places, inputs].

  The last axis is in the order of the flattened kernel without its last axis.
  """
  found = []

  def note(layer: nn.Module, inputs: jax.Array, outputs: jax.Array) -> jax.Array:
    if layer.path == path:
      found.append(_windows(layer, inputs))
    return outputs

  visit_layers(loss_fn, note, params, batch)
  return found[0]


def layer_gradient(gradient: Params, path: Path) -> jax.Array:
  """The gradient of the weights of the layer at `path`, [inputs, features].

  Raises:
    InputError: if there is none, as where the parameters are not flax.linen's `params`.
  """
  kernel = by_path(gradient).get((*path, 'kernel'))
  if kernel is None:
    raise InputError(
      f'no gradient of the layer {"/".join(path)!r} among {describe(gradient)}: parameters are '
      f"a network's variables['params'], in dicts"
    )
  return kernel.reshape(-1, kernel.shape[-1])


def _windows(module: nn.Module, inputs: jax.Array) -> jax.Array:
  """The rows of a layer's matrix product, [n, places, inputs]."""
  if isinstance(module, Convolution):
    window = module.window, module.window
    inputs = patches(inputs, window, stride=module.stride, padding=module.padding)
  return inputs.reshape(inputs.shape[0], -1, inputs.shape[-1])
