"""Attacks on pools of floats: the same numbers score the same, in any range and shape."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax import (
  ATTACKS,
  Batch,
  Candidate,
  InputError,
  Knowledge,
  Pool,
  from_arrays,
  meta_gradient,
  sample_task,
)
from mamljax.attacks import MatchedFilter, Observation, Reconstruction
from mamljax.attacks.applicability import inapplicable
from mamljax.data import Data, load_dataset
from mamljax.images import as_floats
from mamljax.maml import InnerLoop
from mamljax.networks import MLP, CrossEntropy, init_params

KEY, INNER = jax.random.key(0), InnerLoop(1, 0.1)
LOW, HIGH = -2.0, 6.0  # powers of two apart: to go there and back rounds nothing
SMALL = {
  'reconstruction': {'iterations': 4},
  'shadow_matched_filter': {'shadows': 6, 'swaps': 2},
  'residual_filter': {'shadows': 6},
  'curvature_filter': {'shadows': 6, 'sketch': 32},
  'shadow_classifier': {'shadows': 4},
  'matched_filter': {'sketch': 64},
}


@functools.cache
def digits() -> Data:
  """Small digits of three classes, uint8: the middle of some, every other pixel."""
  source = load_dataset('mnist_sample')
  kept = (source.labels < 3) & (np.arange(len(source.labels)) % 4 == 0)
  return from_arrays(source.images[kept, 3:25:2, 3:25:2], source.labels[kept])


@functools.partial(jax.jit, static_argnames=('kind', 'loss_fn', 'target', 'bounds'))
def scored(attack, params, data: tuple[Pool, Pool], *, kind, loss_fn, target, bounds):
  """Scores of the images of a task, those of the support set first."""
  del kind  # to JAX, attacks of two classes without fields are equal
  references, victims = data
  known = Knowledge(
    loss_fn,
    params,
    INNER,
    references=references,
    target=target,
    ways=2,
    shots=1,
    bounds=bounds,
  )
  task = sample_task(KEY, victims, ways=2, shots=1)
  labels = task.query.labels
  seen = Observation(
    meta_gradient(loss_fn, params, task, INNER), labels, labels, task.query, jnp.arange(2)
  )
  prepared = attack.prepare(KEY, known)
  images = jnp.concatenate([task.support.images, task.query.images])
  ask = functools.partial(attack.score, KEY, prepared, seen)
  return jax.lax.map(lambda x: ask(Candidate(*x))[0], (images, jnp.tile(labels, 2)))


def scores(attack, data: Data, loss_fn, params) -> np.ndarray:
  """Scores of the images of a task."""
  pools: tuple[Pool, Pool] = jax.tree.map(jnp.asarray, (data.references, data.victims))
  target = next(iter(attack.requires))
  options = {'kind': type(attack), 'loss_fn': loss_fn, 'target': target, 'bounds': data.bounds}
  return np.asarray(scored(attack, params, pools, **options))


def changed(data: Data, change) -> Data:
  """The same data with the numbers of every pool changed."""
  pools = {
    name: getattr(data, name)._replace(images=change(getattr(data, name).images))
    for name in ('references', 'calibration', 'victims')
  }
  return dataclasses.replace(data, **pools)


def loss(params, batch: Batch):
  """A hidden layer of softplus units, on examples of any shape."""
  flat = batch.images.reshape(len(batch.images), -1)
  logits = jax.nn.softplus(flat @ params['first'] + params['bias']) @ params['second']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def shifted_loss(params, batch: Batch):
  """The same model on images in LOW..HIGH, which it brings to 0..1 itself."""
  return loss(params, batch._replace(images=(batch.images - LOW) / (HIGH - LOW)))


def weights(inputs: int):
  """Initial parameters of `loss`."""
  first, second = jax.random.split(KEY)
  return {
    'first': jax.random.normal(first, (inputs, 8)) / inputs**0.5,
    'bias': jnp.zeros(8),
    'second': jax.random.normal(second, (8, 2)) / 8**0.5,
  }


PARAMS = weights(121)
LINEN = CrossEntropy(MLP(2)), init_params(KEY, MLP(2), (11, 11, 1))
QUICK = ('matched_filter',)


@pytest.mark.parametrize(
  'name',
  [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in ATTACKS],
)
def test_floats_of_the_same_pixels_score_as_bytes_do(name):
  """Each attack that divided by 255 on its own saw all but black references."""
  attack = ATTACKS[name](**SMALL.get(name, {}))
  floats = changed(digits(), jax.jit(as_floats))
  model = LINEN if name == 'patch_space' else (loss, PARAMS)
  found, expected = (scores(attack, data, *model) for data in (floats, digits()))
  # All four are members, of which a span leaves nothing but rounding.
  rtol = 0.1 if name == 'patch_space' else 1e-3
  np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-4)


@pytest.mark.parametrize('judge', ['ssim', pytest.param('mse', marks=pytest.mark.slow)])
def test_a_reconstruction_moves_within_the_range_of_the_data(judge):
  """Clipped to 0..1, images in -2..6 are lost, members as well as others."""
  attack = Reconstruction(iterations=4, judge=judge)
  unit = changed(digits(), lambda images: images.astype(np.float32) / np.float32(256))
  wide = changed(unit, lambda images: LOW + (HIGH - LOW) * images)
  wide = dataclasses.replace(wide, low=LOW, high=HIGH)
  expected = scores(attack, unit, loss, PARAMS)
  found = scores(attack, wide, shifted_loss, PARAMS)
  np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
  assert np.ptp(expected) > 1e-5


def test_a_table_is_audited_by_what_needs_no_image_and_the_rest_says_why():
  """Vectors have no neighbouring pixels: an attack on those must not fail with a reshape."""
  rng = np.random.default_rng(0)
  data = from_arrays(rng.normal(5, 3, (90, 6)), np.arange(90) % 3)
  params = weights(6)
  told = scores(MatchedFilter(sketch=32), data, loss, params)
  assert np.isfinite(told).all()
  known = Knowledge(loss, params, InnerLoop(1, 0.1), references=data.references, ways=2)
  reason = inapplicable(Reconstruction(judge='mse'), known, data.input_shape)
  assert reason is not None
  assert 'needs images [height, width, channels], not examples of the shape [6]' in reason
  assert inapplicable(MatchedFilter(), known, data.input_shape) is None
  with pytest.raises(InputError, match=r'reconstruction.*needs images'):
    scores(Reconstruction(judge='mse'), data, loss, params)
