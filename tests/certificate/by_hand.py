"""One hidden layer of tanh units, in JAX and by hand in NumPy, where parameters may be complex.

The derivative of an analytic function is Im f(w + i h) / h, exact to rounding for a tiny h: no
difference is taken, and neither JAX nor automatic differentiation is used.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax import Batch, Params, Task
from tests.certificate.problems import WAYS, noise_task

HIDDEN, PIXELS = 4, 4
# As `ravel_pytree` orders them.
SHAPES = {'bias': (HIDDEN,), 'in': (PIXELS, HIDDEN), 'out': (HIDDEN, WAYS)}
TINY = 1e-30


class Problem(NamedTuple):
  """Parameters of some 30 numbers and a task of 2 x 2 images."""

  params: Params
  task: Task


def make_problem() -> Problem:
  """Normal parameters, and images of uniform noise."""
  rng = np.random.default_rng(0)
  params = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
  with jax.enable_x64(True):  # also where a module makes it
    task = jax.tree.map(lambda x: x[:, :2, :2] if x.ndim == 4 else x, noise_task(rng))
  return Problem(params, task)


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


def flat(tree: Params) -> np.ndarray:
  """Parameters in one vector, in the order of `ravel_pytree`, in double precision."""
  return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def named(w: np.ndarray) -> dict[str, np.ndarray]:
  """Flat parameters by name."""
  ends = np.cumsum([np.prod(shape) for shape in SHAPES.values()])
  pieces = np.split(w, ends[:-1])
  return {k: p.reshape(s) for (k, s), p in zip(SHAPES.items(), pieces, strict=True)}


def gradient(w: np.ndarray, batch: Batch) -> np.ndarray:
  """The gradient at flat parameters, real or complex."""
  return by_hand(named(w), np.asarray(batch.images).reshape(3, -1), np.asarray(batch.labels))


def loss(w: np.ndarray, batch: Batch):
  """The loss at flat parameters, real or complex."""
  params, rows = named(w), np.asarray(batch.images).reshape(3, -1)
  odds = np.exp(np.tanh(rows @ params['in'] + params['bias']) @ params['out'])
  shares = odds[np.arange(3), np.asarray(batch.labels)] / odds.sum(1)
  return -np.log(shares).mean()


def slope(function: Callable[[np.ndarray], np.ndarray], at: np.ndarray) -> np.ndarray:
  """Derivatives of an analytic function of several numbers, along the first axis."""
  return np.stack([np.imag(function(at + 1j * TINY * e)) / TINY for e in np.eye(len(at))])
