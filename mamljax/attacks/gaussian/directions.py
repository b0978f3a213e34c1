"""Leading directions in which the gradients of single images vary within a class and slot.

Far fewer than the numbers of a gradient, so that no covariance of all is ever held.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from mamljax.linear_algebra import product

Gradients = Callable[[jax.Array, jax.Array], jax.Array]

_AT_ONCE = 16  # images whose gradients are computed together


def variance_within(gradients: Gradients, keys: jax.Array, images: jax.Array) -> jax.Array:
  """Variance of each number of a gradient within a class and slot, [size]."""

  def add(sums: Any, one: Any) -> tuple[Any, None]:
    found = gradients(*one)
    return (sums[0] + found, sums[1] + found**2), None

  def one_class(public: tuple[jax.Array, jax.Array]) -> jax.Array:
    zero = jnp.zeros_like(jax.eval_shape(gradients, *(part[0] for part in public)))
    (first, second), _ = jax.lax.scan(add, (zero, zero), public)
    n = len(public[1])
    return jnp.maximum(second - first**2 / n, 0) / (n - 1)

  return jax.lax.map(one_class, (keys, images)).mean(axis=(0, 1))


def leading_directions(
  key: jax.Array, scatter: Callable, size: int, count: int
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """The leading directions U [size, count], their variances L, and the means.

  From random directions the covariance is applied once, and once more to what came out (Halko
  et al., 2011).
  """
  start = jax.random.normal(key, (size, min(count, size)))
  basis = jnp.linalg.qr(scatter(jnp.linalg.qr(start)[0])[0])[0]
  spread, means = scatter(basis)
  values, turn = jnp.linalg.eigh(product(basis.T, spread))
  return product(basis, turn), values, means


def scatter_within(
  gradients: Gradients, keys: jax.Array, images: jax.Array, directions: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """The covariance within classes and slots times some directions, and the means.

  Args:
    gradients: the scaled gradients of an image under each label.
    keys: [classes, n].
    images: [classes, n, height, width, channels].
    directions: [size, m].

  Returns:
    Numbers [size, m] and [classes, ways, size].
  """
  classes, each = images.shape[:2]
  at_once = max(c for c in range(1, _AT_ONCE + 1) if each % c == 0)

  def add(sums: Any, part: Any) -> tuple[Any, None]:
    found = jax.vmap(gradients)(*part)
    flat = found.reshape(-1, found.shape[-1])
    return (
      sums[0] + product(flat.T, product(flat, directions)),
      sums[1] + found.sum(axis=0),
    ), None

  def one_class(total: jax.Array, public: Any) -> tuple[jax.Array, jax.Array]:
    zero = jnp.zeros_like(jax.eval_shape(gradients, *(part[0] for part in public)))
    parts = jax.tree.map(lambda x: x.reshape(-1, at_once, *x.shape[1:]), public)
    (square, sum_), _ = jax.lax.scan(add, (jnp.zeros_like(directions), zero), parts)
    mean = sum_ / each
    return total + square - each * product(mean.T, product(mean, directions)), mean

  scatter, means = jax.lax.scan(one_class, jnp.zeros_like(directions), (keys, images))
  return scatter / (classes * (each - 1) * means.shape[1]), means
