"""Footprint of an image: the entries of a layer's gradient in which it leaves a trace.

A layer on inputs a_ip at places p of image i has the gradient sum_ip a_ip delta_ip' in its
weights, [inputs, features]. Behind a ReLU that is off, delta_ip is exactly 0, and so is a_ip
behind one that is off before. Entry (r, k) of image i is hence exactly 0 unless, at some place,
its input r is on and its unit k active. The footprint says by how much:

    F_i = sum_p |a_ip| |z_ip|'.

A unit is active where the loss of a network that is sure of nothing has a slope in it: the
slopes of the loss itself fade where the network is sure of an image. z_ip is then what the unit
says, which tells how far it is from switching off.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from mamljax.attacks.gradients.layers import Layer, Layers, bias_gradient
from mamljax.linear_algebra import product
from mamljax.types import Batch, Params

_LEAST = 1e-6  # of the loudest unit: an active one that says next to nothing is active still


class _Passed(NamedTuple):
  """One image in one layer: what enters, what leaves, and the slopes there."""

  entering: jax.Array
  leaving: jax.Array
  slopes: jax.Array


def footprints(
  layers: Layers, params: Params, image: jax.Array, label: jax.Array
) -> list[jax.Array]:
  """The footprints of one image in the layers whose gradient is their own.

  Args:
    layers: of the network, as one image passes them.
    params: the parameters.
    image: the image.
    label: its slot.

  Returns:
    For each of `layers.seen` an array [inputs, features], exactly 0 where the image leaves no
    trace; they sum to 1, unless all are 0.
  """
  passed = _pass(layers, params, image, label)
  pairs = zip(layers.seen, passed, strict=True)
  return [_footprint(layer, one, bias_gradient(layers, layer, params)) for layer, one in pairs]


def _pass(layers: Layers, params: Params, image: jax.Array, label: jax.Array) -> list[_Passed]:
  """Passes an image forwards through the network, and the slopes in its logits backwards."""
  program, last = layers.program, layers.found[-1].leaving
  batch = Batch(image[None], jnp.full(1, label, program.avals[program.labels].dtype))
  unsure = _slopes_of_unsure(program.avals[last].size, label)
  entering, leaving = ([getattr(x, at) for x in layers.seen] for at in ('entering', 'leaving'))

  def shifted(shifts: dict[int, jax.Array]) -> tuple[jax.Array, list[jax.Array]]:
    logits, *values = program.run(params, batch, [last, *entering, *leaving], shifts=shifts)
    return jnp.vdot(logits.ravel(), unsure), values

  zeros = {at: jnp.zeros(program.avals[at].shape, program.avals[at].dtype) for at in leaving}
  slopes, values = jax.grad(shifted, has_aux=True)(zeros)
  columns = values[: len(entering)], values[len(entering) :], [slopes[at] for at in leaving]
  return [_Passed(*row) for row in zip(*columns, strict=True)]


def _slopes_of_unsure(logits: int, label: jax.Array) -> jax.Array:
  """The slopes of a cross entropy in logits that are all alike, [logits]."""
  if logits == 1:
    return jnp.ones(1)
  return 1 / logits - (jnp.arange(logits) == label)


def _footprint(layer: Layer, passed: _Passed, bias: jax.Array | None) -> jax.Array:
  """The footprint in one layer, [inputs, features]."""
  columns = layer.product.columns
  says = jnp.abs(columns(passed.leaving) + (0 if bias is None else bias))
  says = jnp.where(columns(passed.slopes) != 0, says + _LEAST * says.max(), 0)
  entries = product(jnp.abs(layer.product.rows(passed.entering)).T, says)
  entries = jnp.where(_own(layer), entries, 0)
  return entries / jnp.maximum(entries.sum(), jnp.finfo(entries.dtype).tiny)


def _own(layer: Layer) -> jax.Array:
  """The entries that are weights: not those between inputs and features of two groups."""
  product, each = layer.product, layer.product.groups
  groups = [jnp.arange(size) * each // size for size in (product.inputs, product.features)]
  return groups[0][:, None] == groups[1]
