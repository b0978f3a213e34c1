"""The labels of the targeted set, inferred from the gradient of the output layer's bias.

A cross-entropy's gradient in the logits is p - y, so that the gradient in the output bias is
linear in the shares of the labels, at w exactly and after a small inner step nearly so.
(Zhao et al., 2020, read one label off the sign; Wainakh et al., 2021, several.)
"""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.gradients.finding import find_layers
from mamljax.attacks.gradients.layers import bias_gradient
from mamljax.errors import InputError
from mamljax.types import Batch, LossFn, Params

_READER = 'the inference of labels'


def infer_labels(
  loss_fn: LossFn,
  params: Params,
  images: jax.Array,
  gradient: Params,
  simulate: Callable[[Batch], Params],
  *,
  ways: int,
) -> jax.Array:
  """The labels whose simulated bias gradient comes nearest to the received one.

  The gradients r_c of a set that is all of class c are mixed to match the received one:
  sum_c s_c r_c = g with sum_c s_c = 1, by least squares. The n places then go one by one to
  the class that is furthest short of n s_c.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w; as the loss, it only tells which parameter the bias is.
    images: [n, height, width, channels], any guess: of its gradient, labels matter most.
    gradient: the received one.
    simulate: the gradient to be expected of a set, such as `objectives.simulate`.
    ways: the number of classes.

  Returns:
    Integers [n], rising.

  Raises:
    InputError: if there is no output layer with biases of its own.
  """
  checks.whole('ways', ways, least=1)
  n = images.shape[0]
  read = _reader(loss_fn, params, images[0])
  alike = jax.vmap(lambda c: read(simulate(Batch(images, jnp.full(n, c)))))
  responses = alike(jnp.arange(ways))
  system = jnp.concatenate([responses.T, jnp.ones((1, ways))])
  received = jnp.concatenate([read(gradient), jnp.ones(1)])
  shares = jnp.linalg.lstsq(system, received)[0]

  def give(short: jax.Array, _):
    label = jnp.argmax(short)
    return short.at[label].add(-1), label

  return jnp.sort(jax.lax.scan(give, n * shares, length=n)[1])


def check_output(loss_fn: LossFn, params: Params, image: Any) -> None:
  """Refuses a network without biases in its output layer, which `infer_labels` reads.

  Raises:
    InputError: if its last layer has none, or is not the only one with these weights.
  """
  _reader(loss_fn, params, image)


def _reader(loss_fn: LossFn, params: Params, image: Any) -> Callable[[Params], jax.Array]:
  """A function that takes the biases of the last layer, of the logits, out of a gradient."""
  layers = find_layers(loss_fn, params, image)
  if not layers.found:
    raise InputError(f'{_READER} finds no output layer: {layers.faults() or "no parameters"}')
  last = layers.found[-1]
  if last.fault or last.bias is None:
    reason = last.fault or f'it finds none that is added to what {last.name!r} makes alone'
    raise InputError(f'{_READER} needs biases of the output layer: {reason}')
  return lambda gradient: cast(jax.Array, bias_gradient(layers, last, gradient))
