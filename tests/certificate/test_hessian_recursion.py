"""The meta-gradient is the query gradient, pulled back through every step by a Hessian."""

import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import mamljax
from mamljax import InnerLoop, Task
from tests.certificate.by_hand import gradient, make_problem, mlp_loss, slope
from tests.certificate.problems import EXACT, meta_gradient, relative_error

RATE = 0.1


def recursion(w, task: Task, steps: int):
  """g_K = query gradient at theta_K, then g_k = (I - rate H_s(theta_k)) g_{k+1}."""
  thetas = [w]
  for _ in range(steps):
    thetas.append(thetas[-1] - RATE * gradient(thetas[-1], task.support))
  g = gradient(thetas[-1], task.query)
  for theta in reversed(thetas[:-1]):
    g = g - RATE * slope(lambda at: gradient(at, task.support), theta) @ g
  return g


@pytest.mark.parametrize(
  ('steps', 'path'),
  [(1, mamljax.meta_gradient), (4, meta_gradient)],
  ids=['1 step, not jitted', '4 steps'],
)
def test_small_mlp_without_automatic_differentiation(steps, path):
  """Else JAX's own derivatives, or our use of them, are wrong on a network."""
  params, task = make_problem()
  expected = recursion(np.asarray(ravel_pytree(params)[0]), task, steps)
  found = {k: path(mlp_loss, params, task, InnerLoop(steps, RATE, order=k)) for k in (1, 2)}
  assert relative_error(found[2], expected) < EXACT
  assert relative_error(found[1], expected) > 0.01  # the negative control
