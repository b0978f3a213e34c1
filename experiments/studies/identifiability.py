"""A numerical test of Proposition 3.1: the search for other data with the same meta-gradient.

The search is in float64, and `mamljax.maml.meta_gradient` checks each result. It covers the
single neuron of the appendix, networks with one hidden layer of several widths, each with a
task of other images, and the MLP, whose first layer tells the images behind a gradient from
other images.
"""

import functools
import os
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from mamljax import identifiability, maml
from mamljax.data import load_dataset, split_dataset
from mamljax.errors import InputError
from mamljax.networks import CrossEntropy, Network, init_params, make_network
from mamljax.tasks import make_task, sample_images
from mamljax.types import Batch, LossFn, Params, Pool, Task

WAYS, SHOTS = 3, 4
SIZE = 8  # pixels a side, so that the Hessian in the parameters fits into memory
INNER = maml.InnerLoop(1, 0.1)
SCALE = 3.0  # factor of He's weights: without it, sigmoids are nearly linear and hard to match
ITERATIONS = 25
NEURON = (0.7, 0.2)  # a, b
NEURON_SUPPORT, NEURON_QUERY = (0.4, 1.2), (0.6, 1.6)  # x, y
NEURON_OTHER_SUPPORT = (1.5, 0.4)


class OneLayer(Network):
  """A network with one hidden layer of `units` units and a linear classifier."""

  units: int = 2

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    """The logits [n, ways] of images [n, height, width, channels]."""
    x = images.reshape(len(images), -1)
    return self.dense(self.finish(self.dense(x, self.units)), self.ways)


class Finding(NamedTuple):
  """A row of the table: the results for one network; None for a measure that was not taken.

  Attributes:
    network: name of the network.
    hidden_units: number of units in its first layer.
    mismatch: ||g(M) - g|| / ||g|| of the best task M found, by `maml.meta_gradient`.
    least_mismatch: lower bound on the mismatch of any task with M's support images and as many
      query images.
    relu_imbalance: lower bound on the relative error of any query gradient of ReLU units as a
      match of g' in equation 8.
    invertibility: smallest singular value of I - alpha H(M_s).
    nearest_pair: least root-mean-square difference between an image of M and one of D.
    farthest_member: largest distance of an image of D from the row space.
    nearest_other: smallest distance of an image of another task from the row space.
  """

  network: str
  hidden_units: int
  mismatch: float | None = None
  least_mismatch: float | None = None
  relu_imbalance: float | None = None
  invertibility: float | None = None
  nearest_pair: float | None = None
  farthest_member: float | None = None
  nearest_other: float | None = None


class Distances(NamedTuple):
  """Distances of images from the row space of gradients of the MLP.

  Attributes:
    members: distances of the images that a gradient was computed from.
    others: distances of images of other tasks.
  """

  members: np.ndarray
  others: np.ndarray


def load_pool(
  dataset: str, *, data_dir: str | os.PathLike[str] | None, image_size: int | None
) -> Pool:
  """All images of a data set.

  Raises:
    InputError: if the data set is missing, or too small for two tasks that share no image.
  """
  data = load_dataset(dataset, data_dir=data_dir, image_size=image_size)
  if data.num_classes < WAYS or data.counts.min() < 4 * SHOTS:
    raise InputError(
      f'{dataset} has {data.num_classes} classes of at least {data.counts.min()} images, and '
      f'{WAYS} of {4 * SHOTS} are needed'
    )
  return jax.device_put(split_dataset(data, seed=0, fractions=(1, 0, 0, 0)).training)


def draw_two_tasks(key: jax.Array, pool: Pool) -> tuple[Task, Task]:
  """Two tasks of the same classes that share no image, in float64."""
  images, _ = sample_images(key, pool, ways=WAYS, per_class=4 * SHOTS)
  first, second = jnp.split(images.astype(float), 2, axis=1)
  return make_task(first, shots=SHOTS), make_task(second, shots=SHOTS)


def match_neuron() -> tuple[Finding, np.ndarray, np.ndarray]:
  """Searches for a task with the gradient of another on the single neuron.

  Returns:
    The finding, the task D and the task M, each [[x, y] of the support, [x, y] of the query].
  """
  w, rate = jnp.array(NEURON), INNER.learning_rate

  def send(task: np.ndarray) -> jax.Array:
    sets = (Batch(jnp.full((1, 1, 1, 1), x), jnp.array([y])) for x, y in task)
    return maml.meta_gradient(identifiability.neuron_loss, w, Task(*sets), INNER)

  task = np.array([NEURON_SUPPORT, NEURON_QUERY])
  x, y = map(jnp.asarray, NEURON_OTHER_SUPPORT)
  query = identifiability.match_neuron(w, send(task), x, y, rate)
  other = np.array([NEURON_OTHER_SUPPORT, (query.x, query.y)])
  matrix = jnp.eye(2) - rate * identifiability.neuron_hessian(w, x)
  finding = Finding(
    'neuron',
    1,
    mismatch=_relative_error(send(other), send(task)),
    invertibility=float(jnp.linalg.svd(matrix, compute_uv=False)[-1]),
    nearest_pair=float(np.abs(task[:, None, 0] - other[:, 0]).min()),
  )
  return finding, task, other


def match(
  key: jax.Array, task: Task, other: Task, *, units: int, activation: str
) -> tuple[Finding, Task]:
  """Searches for a task with the gradient of `task` on a network with one hidden layer.

  Args:
    key: random key of the initial parameters.
    task: the task D.
    other: a task with the support set of M, and the images from which the search for those of
      its query set starts.
    units: width of the hidden layer.
    activation: activation function of the hidden layer.

  Returns:
    The finding and the task M.
  """
  network = OneLayer(ways=WAYS, units=units, activation=activation)
  loss_fn = CrossEntropy(network)
  params = _parameters(key, network, task.query.images, scale=SCALE)
  received = _meta_gradient(loss_fn, params, task)
  match = _match(loss_fn, params, received, other.support, other.query)
  forged = Task(other.support, match.query)
  members, others, bound = _measure_distances(loss_fn, params, task, other)
  imbalance = _imbalance(loss_fn, params, received, other.support)
  finding = Finding(
    f'{activation} {units}',
    units,
    mismatch=_relative_error(_meta_gradient(loss_fn, params, forged), received),
    least_mismatch=float(bound),
    relu_imbalance=float(imbalance) if activation == 'relu' else None,
    invertibility=float(match.invertibility),
    nearest_pair=_nearest_pair(task, forged),
    farthest_member=float(members.max()),
    nearest_other=float(others.min()),
  )
  return finding, forged


def measure_distances(key: jax.Array, pool: Pool, *, tasks: int) -> tuple[Finding, Distances]:
  """Distances from the row space of the library's MLP, for images in their original size."""
  network = make_network('mlp', ways=WAYS)
  loss_fn = CrossEntropy(network)
  params = _parameters(key, network, pool.images)
  measured = [
    _measure_distances(loss_fn, params, *draw_two_tasks(jax.random.fold_in(key, trial), pool))
    for trial in range(1, tasks + 1)
  ]
  members, others, bounds = (np.stack(values) for values in zip(*measured, strict=True))
  finding = Finding(
    'mlp',
    params['Dense_0']['bias'].size,
    least_mismatch=float(bounds.min()),
    farthest_member=float(members.max()),
    nearest_other=float(others.min()),
  )
  return finding, Distances(members.ravel(), others.ravel())


@functools.partial(jax.jit, static_argnums=0)
def _meta_gradient(loss_fn: LossFn, params: Params, task: Task) -> Params:
  return maml.meta_gradient(loss_fn, params, task, INNER)


@functools.partial(jax.jit, static_argnums=0)
def _match(loss_fn: LossFn, params: Params, gradient: Params, support: Batch, start: Batch):
  return identifiability.match_network(
    loss_fn, params, gradient, support, start, INNER, iterations=ITERATIONS
  )


@functools.partial(jax.jit, static_argnums=0)
def _measure_distances(loss_fn: LossFn, params: Params, task: Task, other: Task):
  """Distances of both tasks' images, and the least mismatch with the other's support set."""
  received = maml.meta_gradient(loss_fn, params, task, INNER)
  layer = received['Dense_0']
  distances = [
    identifiability.distance_to_row_space(layer, jnp.concatenate([s.images, q.images]))
    for s, q in (task, other)
  ]
  free = len(other.query.images)
  least = identifiability.least_mismatch(layer, other.support.images, free=free)
  return *distances, least * _norm(layer) / _norm(received)


@functools.partial(jax.jit, static_argnums=0)
def _imbalance(loss_fn: LossFn, params: Params, gradient: Params, support: Batch) -> jax.Array:
  """The ReLU imbalance of g' in equation 8: its distance from any gradient of ReLU units."""
  required = identifiability.query_gradient(loss_fn, params, gradient, support, INNER)
  return identifiability.relu_imbalance(*((p['Dense_0'], p['Dense_1']) for p in required))


def _parameters(
  key: jax.Array, network: Network, images: jax.Array, *, scale: float = 1.0
) -> Params:
  """Initial parameters in float64 for images of this shape, times `scale`."""
  _, height, width, channels = images.shape
  params = init_params(key, network, (height, width, channels))
  return jax.tree.map(lambda p: scale * p.astype(float), params)


def _relative_error(actual: Params, expected: Params) -> float:
  """The norm of the difference of two pytrees over the norm of the second."""
  return float(_norm(jax.tree.map(jnp.subtract, actual, expected)) / _norm(expected))


def _norm(tree: Params) -> jax.Array:
  return jnp.linalg.norm(ravel_pytree(tree)[0])


def _nearest_pair(task: Task, other: Task) -> float:
  """The least root-mean-square difference between images of two tasks, one of each."""
  first, second = (jnp.concatenate([s.images, q.images]) for s, q in (task, other))
  squared = ((first[:, None] - second) ** 2).mean(axis=(2, 3, 4))
  return float(jnp.sqrt(squared.min()))
