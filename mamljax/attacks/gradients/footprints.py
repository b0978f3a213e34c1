"""Footprint of an image: the entries of a layer's gradient in which it leaves a trace.

A layer on inputs a_ip at places p of image i has the gradient sum_ip a_ip delta_ip' in its
weights, [inputs, features]. Behind a ReLU that is off, delta_ip is exactly 0, and so is a_ip
behind one that is off before. Entry (r, k) of image i is hence exactly 0 unless, at some place,
its input r is on and its unit k active. The footprint says by how much:

    F_i = sum_p |a_ip| |z_ip|'.

A unit is active where the loss of a network that is sure of nothing has a slope in it: the
slopes of the loss itself fade where the network is sure of an image. z_ip is then what the unit
says, which tells how far it is from switching off.

That is at the parameters that it is of. What an adaptation would switch off is not known, but
public images tell what adaptations do: entries that none of some adaptations empties are
`steadfast`, and an image is likely to leave a trace there after one more.
"""

import jax
import jax.numpy as jnp

from mamljax.attacks.gradients.layers import (
  Layer,
  Layers,
  Passed,
  bias_gradient,
  pass_batch,
)
from mamljax.linear_algebra import product
from mamljax.types import Batch, Params

_LEAST = 1e-6  # of the loudest unit: an active one that says next to nothing is active still


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
  program, last = layers.program, layers.found[-1].leaving
  batch = Batch(image[None], jnp.full(1, label, program.avals[program.labels].dtype))
  unsure = _slopes_of_unsure(program.avals[last].size, label)
  passed = pass_batch(
    program,
    layers.seen,
    params,
    batch,
    value=last,
    number=lambda logits: jnp.vdot(logits.ravel(), unsure),
  )
  return [
    _footprint(layer, one, bias_gradient(layers, layer, params))
    for layer, one in zip(layers.seen, passed, strict=True)
  ]


def steadfast(
  layers: Layers, adapted: Params, image: jax.Array, label: jax.Array
) -> list[jax.Array]:
  """The entries in which one image leaves a trace whichever adaptation has been taken.

  Args:
    layers: of the network, as one image passes them.
    adapted: parameters after each of some adaptations, with a leading axis of them.
    image: the image.
    label: its slot.

  Returns:
    For each of `layers.seen` an array [inputs, features] of equal numbers in those entries and
    zeros elsewhere; they sum to 1, unless all are 0.
  """

  def leave(params: Params) -> list[jax.Array]:
    return [layer > 0 for layer in footprints(layers, params, image, label)]

  def keep(kept: list[jax.Array], params: Params) -> tuple[list[jax.Array], None]:
    return [a & b for a, b in zip(kept, leave(params), strict=True)], None

  one = jax.eval_shape(leave, jax.tree.map(lambda leaf: leaf[0], adapted))
  kept, _ = jax.lax.scan(keep, [jnp.ones(layer.shape, bool) for layer in one], adapted)
  return [layer / jnp.maximum(layer.sum(), 1) for layer in kept]


def _slopes_of_unsure(logits: int, label: jax.Array) -> jax.Array:
  """The slopes of a cross entropy in logits that are all alike, [logits]."""
  if logits == 1:
    return jnp.ones(1)
  return 1 / logits - (jnp.arange(logits) == label)


def _footprint(layer: Layer, passed: Passed, bias: jax.Array | None) -> jax.Array:
  """The footprint in one layer, [inputs, features]."""
  columns = layer.product.columns
  says = jnp.abs(columns(passed.leaving) + (0 if bias is None else bias))
  says = jnp.where(columns(passed.slopes) != 0, says + _LEAST * says.max(), 0)
  entries = product(jnp.abs(layer.product.rows(passed.entering)).T, says)
  entries = jnp.where(layer.product.weighed(), entries, 0)
  return entries / jnp.maximum(entries.sum(), jnp.finfo(entries.dtype).tiny)
