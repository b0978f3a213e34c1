"""Central differences of the task loss converge on the meta-gradient, as fast as they must."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from mamljax import InnerLoop, make_network, task_loss
from tests.certificate.problems import WAYS, Problem, Small, meta_gradient, network_problem

# Smooth: at the corner of a ReLU no difference converges.
SMOOTH = [
  ('mlp', {'activation': 'softplus'}),
  ('conv4', {'activation': 'softplus', 'filters': 4}),
  ('lenet', {'activation': 'softplus'}),
]
SPACINGS = 0.1 * 2.0 ** -np.arange(18)
INNER = InnerLoop(steps=2, learning_rate=0.1)


def along(problem: Problem, direction):
  """(L(w + h d) - L(w - h d)) / 2h for every h of the sweep."""
  loss_fn, params, task = problem

  def loss_at(h):
    moved = jax.tree.map(lambda p, d: p + h * d, params, direction)
    return task_loss(loss_fn, moved, task, INNER)

  losses = jax.jit(lambda hs: jax.lax.map(loss_at, hs))(
    jnp.stack([SPACINGS, -SPACINGS]).ravel()
  )
  ahead, behind = losses.reshape(2, -1)
  return (ahead - behind) / (2 * SPACINGS)


def errors(problem: Problem, orders: tuple[int, ...]) -> list[np.ndarray]:
  """The relative errors of the differences as estimates of each order's slope."""
  flat, unravel = ravel_pytree(problem.params)
  direction = np.random.default_rng(1).normal(size=flat.shape)
  direction = jnp.asarray(direction / np.linalg.norm(direction))
  differences = along(problem, unravel(direction))
  inners = [InnerLoop(INNER.steps, INNER.learning_rate, order=order) for order in orders]
  slopes = [ravel_pytree(meta_gradient(*problem, inner))[0] @ direction for inner in inners]
  return [np.abs(differences / slope - 1) for slope in slopes]


@pytest.mark.parametrize(('name', 'options'), SMOOTH)
def test_differences_converge_as_the_square_of_their_spacing(name, options):
  """Else the loss that is differentiated is not the loss whose gradient is sent."""
  problem = network_problem(make_network(name, ways=WAYS, **options))
  (error,) = errors(problem, (2,))
  # Above this range higher powers of the spacing show, below it rounding does.
  clean = (error > 1e-7) & (error < 1e-4)
  ratios = (error[:-1] / error[1:])[clean[:-1] & clean[1:]]
  assert len(ratios) >= 3
  np.testing.assert_allclose(ratios, 4, atol=0.2)
  assert error.min() < 1e-8


def test_differences_do_not_converge_on_first_order():
  """Negative control: first-order MAML is another number, at every spacing."""
  problem = network_problem(Small(ways=WAYS, activation='sigmoid', normalization='batch'))
  second, first = errors(problem, (2, 1))
  assert second.min() < 1e-8
  assert first.min() > 0.01
