"""The meta-gradient is the query gradient, pulled back through every step by a Hessian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import mamljax
from mamljax import Batch, InnerLoop, Task
from tests.certificate.problems import EXACT, meta_gradient, noise_task, relative_error

HIDDEN, RATE = 4, 0.1


def mlp_loss(params, batch: Batch):
  """The mean cross-entropy of one hidden layer of tanh units."""
  rows = batch.images.reshape(len(batch.labels), -1)
  hidden = jnp.tanh(rows @ params['in'] + params['bias'])
  log_shares = jax.nn.log_softmax(hidden @ params['out'])
  return -log_shares[jnp.arange(len(rows)), batch.labels].mean()


def by_hand(params, rows, labels):
  """The gradient of `mlp_loss`, by backpropagation in numpy; `params` may be complex."""
  hidden = np.tanh(rows @ params['in'] + params['bias'])
  odds = np.exp(hidden @ params['out'])
  at_logits = (odds / odds.sum(1, keepdims=True) - np.eye(odds.shape[1])[labels]) / len(rows)
  at_hidden = (at_logits @ params['out'].T) * (1 - hidden**2)
  gradient = {'bias': at_hidden.sum(0), 'in': rows.T @ at_hidden, 'out': hidden.T @ at_logits}
  return np.concatenate([gradient[name].ravel() for name in sorted(gradient)])


def recursion(gradient, w, task: Task, steps: int):
  """g_K = query gradient at theta_K, then g_k = (I - rate H_s(theta_k)) g_{k+1}.

  The Hessian is that of `gradient`, column by column, by a complex step: no difference is
  taken, so it is exact to rounding, and neither JAX nor automatic differentiation is used.
  """
  thetas = [w]
  for _ in range(steps):
    thetas.append(thetas[-1] - RATE * gradient(thetas[-1], task.support))
  g = gradient(thetas[-1], task.query)
  tiny = 1e-30
  for theta in reversed(thetas[:-1]):
    columns = (theta + tiny * 1j * unit for unit in np.eye(len(w)))
    hessian = np.stack([gradient(c, task.support).imag / tiny for c in columns])
    g = g - RATE * hessian @ g
  return g


@pytest.fixture
def small_mlp():
  """Parameters of some 40 numbers, a task of 2 x 2 images, and the gradient by hand."""
  rng = np.random.default_rng(0)
  shapes = {'bias': (HIDDEN,), 'in': (4, HIDDEN), 'out': (HIDDEN, 3)}
  params = {name: rng.normal(size=shape) for name, shape in shapes.items()}
  task = jax.tree.map(lambda x: x[:, :2, :2] if x.ndim == 4 else x, noise_task(rng))

  def gradient(w, batch: Batch):
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    pieces = np.split(w, ends[:-1])
    named = {k: p.reshape(s) for (k, s), p in zip(shapes.items(), pieces, strict=True)}
    return by_hand(named, np.asarray(batch.images).reshape(3, -1), np.asarray(batch.labels))

  return params, task, gradient


@pytest.mark.parametrize(
  ('steps', 'path'),
  [(1, mamljax.meta_gradient), (4, meta_gradient)],
  ids=['1 step, not jitted', '4 steps'],
)
def test_small_mlp_without_automatic_differentiation(small_mlp, steps, path):
  """Else JAX's own derivatives, or our use of them, are wrong on a network."""
  params, task, gradient = small_mlp
  expected = recursion(gradient, np.asarray(ravel_pytree(params)[0]), task, steps)
  found = {k: path(mlp_loss, params, task, InnerLoop(steps, RATE, order=k)) for k in (1, 2)}
  assert relative_error(found[2], expected) < EXACT
  assert relative_error(found[1], expected) > 0.01  # the negative control
