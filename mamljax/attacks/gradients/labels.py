"""The labels of the targeted set, inferred from the gradient of the output layer's bias.

A cross-entropy's gradient in the logits is p - y, so that the gradient in the output bias is
linear in the shares of the labels, at w exactly and after a small inner step nearly so.
(Zhao et al., 2020, read one label off the sign; Wainakh et al., 2021, several.)
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from mamljax import checks
from mamljax.attacks.gradients.names import check_layers, describe
from mamljax.errors import InputError
from mamljax.types import Batch, Params


def infer_labels(
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
    images: [n, height, width, channels], any guess: of its gradient, labels matter most.
    gradient: the received one.
    simulate: the gradient to be expected of a set, such as `objectives.simulate`.
    ways: the number of classes.

  Returns:
    Integers [n], rising.

  Raises:
    InputError: if the parameters have no output layer: the last one named Dense.
  """
  checks.whole('ways', ways, least=1)
  n = images.shape[0]
  alike = jax.vmap(lambda c: _output_bias(simulate(Batch(images, jnp.full(n, c)))))
  responses = alike(jnp.arange(ways))
  system = jnp.concatenate([responses.T, jnp.ones((1, ways))])
  received = jnp.concatenate([_output_bias(gradient), jnp.ones(1)])
  shares = jnp.linalg.lstsq(system, received)[0]

  def give(short: jax.Array, _):
    label = jnp.argmax(short)
    return short.at[label].add(-1), label

  return jnp.sort(jax.lax.scan(give, n * shares, length=n)[1])


def _output_bias(params: Params) -> jax.Array:
  """The bias of the last fully connected layer of a network of `mamljax.networks`."""
  check_layers(params, 'the inference of labels')
  numbers = [name.removeprefix('Dense_') for name in params if name.startswith('Dense_')]
  if not numbers:
    raise InputError(f'no output layer among {describe(params)}: none is named Dense')
  return params[f'Dense_{max(map(int, numbers))}']['bias']
