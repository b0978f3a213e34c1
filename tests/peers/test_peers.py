"""The PyTorch peers compute what mamljax computes: else their seconds are of something else."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarking.problems import layers_of
from mamljax.attacks import Knowledge, Observation
from mamljax.attacks.gradients import objectives as ours
from mamljax.maml import InnerLoop, meta_gradient
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Task

torch = pytest.importorskip('torch', reason='the extra `peers` is not installed')

from benchmarks.peers import networks, work  # noqa: E402
from benchmarks.peers.objectives import Attack, flatten  # noqa: E402

WAYS, CANDIDATES, TV_WEIGHT, RATE = 3, 2, 0.03, 0.1
LABELS = np.arange(WAYS)
# Odd and even sides are padded unlike.
NETWORKS = [('conv4', 11, 'relu'), ('conv4', 12, 'softplus'), ('mlp', 5, 'relu')]


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def draw(name, side, activation, channels=2):
  """A network, its parameters and two sets of images for each candidate."""
  small = {'filters': 4} if name == 'conv4' else {}
  network = make_network(name, ways=WAYS, activation=activation, **small)
  params = init_params(jax.random.key(0), network, (side, side, channels))
  rng = np.random.default_rng(0)
  params = jax.tree.map(lambda p: jnp.asarray(p + 0.1 * rng.normal(size=p.shape)), params)
  sets = rng.uniform(size=(2, CANDIDATES, WAYS, side, side, channels))
  return network, params, sets


def in_torch(name, activation, params, channels=2):
  """The same network there, and its weights."""
  weights = networks.from_jax(layers_of(params), channels)
  return networks.make_network(name, activation=activation), [
    weight.requires_grad_() for weight in weights
  ]


def assert_same(found, expected):
  """Equal to rounding in float64."""
  assert found.dtype == expected.dtype == np.float64
  np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


@functools.cache
def expected_slopes(target, name, side, activation):
  """A received gradient for each candidate, and what objective and slope are there."""
  network, params, (images, queries) = draw(name, side, activation)
  rng = np.random.default_rng(1)
  received = [
    jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape)), params)
    for _ in range(CANDIDATES)
  ]
  knowledge = Knowledge(CrossEntropy(network), params, InnerLoop(2, RATE))

  @jax.jit
  @jax.value_and_grad
  def expect(guess, gradient, query):
    labels = jnp.asarray(LABELS)
    seen = Observation(gradient, labels, labels, query_set=Batch(query, labels))
    batch, options = Batch(guess, labels), {'target': target, 'tv_weight': TV_WEIGHT}
    return ours.objective(knowledge, seen, batch, **options)

  each = zip(map(jnp.asarray, images), received, map(jnp.asarray, queries), strict=True)
  return received, [[*map(np.asarray, expect(*one))] for one in each]


@pytest.mark.parametrize('style', work.STYLES)
@pytest.mark.parametrize('target', ['query', 'support'])
@pytest.mark.parametrize(('name', 'side', 'activation'), NETWORKS)
def test_objective_and_slope(style, target, name, side, activation):
  """Of every candidate, in its own image layout and back."""
  _, params, (images, queries) = draw(name, side, activation)
  received, expected = expected_slopes(target, name, side, activation)
  there, weights = in_torch(name, activation, params)
  attack = Attack(there, weights, torch.from_numpy(LABELS), TV_WEIGHT, 2, RATE)
  values, slopes = work.STYLES[style].slopes(
    attack,
    networks.images_from_jax(images),
    torch.stack([flatten(networks.from_jax(layers_of(g), 2)) for g in received]),
    networks.images_from_jax(queries) if target == 'support' else None,
  )
  slopes = slopes.detach().movedim(-3, -1).flip((-3, -2)).numpy()  # NHWC, not mirrored
  for index, (value, slope) in enumerate(expected):
    assert_same(values[index].numpy(), value)
    assert_same(slopes[index], slope)


@functools.cache
def expected_meta_gradient(name, side, activation):
  """The mean over two tasks, layer by layer, after three inner steps."""
  network, params, sets = draw(name, side, activation)
  tasks = Task(*(Batch(jnp.asarray(x), jnp.stack([LABELS] * 2)) for x in sets))
  one = jax.jit(
    jax.vmap(
      lambda task: meta_gradient(CrossEntropy(network), params, task, InnerLoop(3, RATE))
    )
  )
  mean = jax.tree.map(lambda g: g.mean(axis=0), one(tasks))
  return networks.from_jax(layers_of(mean), 2)


@pytest.mark.parametrize('style', work.STYLES)
@pytest.mark.parametrize(('name', 'side', 'activation'), NETWORKS)
def test_meta_gradient(style, name, side, activation):
  """Three inner steps, differentiated through, the mean over tasks."""
  _, params, (supports, queries) = draw(name, side, activation)
  there, weights = in_torch(name, activation, params)
  sets = ((networks.images_from_jax(x), torch.from_numpy(LABELS)) for x in (supports, queries))
  found = work.STYLES[style].meta_gradient(there, weights, *sets, 3, RATE)
  expected = expected_meta_gradient(name, side, activation)
  for leaf, layer in zip(found, expected, strict=True):
    assert_same(leaf.detach().numpy(), layer.numpy())


def test_reconstruction_steps():
  """Signed Adam along one sign takes whole steps, cut after 6, 10 and 14 of 16, in a box."""
  settings = work.Settings(
    style='torch_func',
    kind='attack',
    network='mlp',
    activation='relu',
    target='query',
    units=1,
    iterations=16,
    learning_rate=0.01,
    decay=0.1,
    tv_weight=0.0,
    inner_steps=1,
    inner_learning_rate=0.1,
  )

  def fall(images, received, query):
    del received, query
    return images.sum(), 3 * torch.ones_like(images)

  start = torch.tensor([1.0, 0.5, 0.05], dtype=torch.float64)
  found = work.reconstruct(settings, fall, start, start, None)
  way = 0.01 * (6 + 0.4 + 0.04 + 0.002)
  np.testing.assert_allclose(found.numpy(), [1 - way, 0.5 - way, 0], rtol=1e-5)
