"""Judges of a reconstruction: three scores of one and the same reconstruction."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import mean_squared_error, structural_similarity

from mamljax.attacks import Candidate, Observation
from mamljax.attacks.reconstruction import JUDGES, Info
from mamljax.audit.metrics import auc
from mamljax.types import Batch, Params
from tests.attacks.plays import (
  ATTACK,
  MEMBERS,
  TRIALS,
  attack,
  knowledge,
  loss_fn,
  played,
)

pytestmark = pytest.mark.optimised

KEY = jax.random.key(11)
TARGETS = ('query', 'support')
LEAST = {'query': 0.9, 'support': 0.75}  # of the AUC, as for the paper's judge


def attacked(target: str, judge: str, observation: Observation | None = None):
  """Scores and Info of the played trials."""
  trials, seen = played(target)
  chosen = dataclasses.replace(ATTACK, judge=judge)
  said = attack(KEY, knowledge(target), observation or seen, trials.candidate, chosen)
  return jax.tree.map(np.asarray, said)


@functools.cache
def baseline(target: str, judge: str) -> tuple[np.ndarray, Info]:
  """The same of the gradients that were sent."""
  return attacked(target, judge)


@pytest.mark.parametrize('judge', [judge for judge in JUDGES if judge != 'ssim'])
@pytest.mark.parametrize('target', TARGETS)
def test_the_judge_leaves_the_reconstruction_alone(target, judge):
  """Bit for bit: else three reconstructions would be compared, not three judges."""
  jax.tree.map(
    np.testing.assert_array_equal, baseline(target, judge)[1], baseline(target, 'ssim')[1]
  )


@pytest.mark.parametrize('judge', ['ssim', 'mse'])
@pytest.mark.parametrize('target', TARGETS)
def test_planted_members_outscore_non_members(target, judge):
  """A sign the wrong way round would make of every member a non-member."""
  found = auc(baseline(target, judge)[0], MEMBERS)
  assert found is not None
  assert found > LEAST[target]


@pytest.mark.parametrize('target', TARGETS)
def test_a_member_in_the_place_of_a_non_member_leaves_less_of_the_objective(target):
  """After small steps: with large ones every start ends equally low, on this network."""
  trials, seen = played(target)
  others = jax.tree.map(lambda leaf: leaf[~MEMBERS], (trials, seen))
  (trials, seen), places = others, np.arange(np.sum(~MEMBERS))
  label = trials.candidate.label
  members = Candidate(getattr(trials.task, target).images[places, label], label)
  chosen = dataclasses.replace(ATTACK, judge='residual', learning_rate=0.01)
  other, planted = (
    attack(KEY, knowledge(target), seen, candidates, chosen)[0]
    for candidates in (trials.candidate, members)
  )
  assert np.mean(planted > other) > 0.8


@pytest.mark.parametrize('judge', JUDGES)
@pytest.mark.parametrize('target', TARGETS)
def test_the_gradient_of_another_task_says_nothing(target, judge):
  """A judge that prefers members whatever was received looks at the images, not at the leak."""
  seen = played(target)[1]
  others = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), seen.gradient)
  scores, _ = attacked(target, judge, seen._replace(gradient=others))
  deviation = ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # of the AUC, if all orders are alike
  assert auc(scores, MEMBERS) == pytest.approx(0.5, abs=3 * deviation)


@pytest.mark.parametrize('target', TARGETS)
def test_images_are_compared_as_scikit_image_compares_them(target):
  """Each candidate with what became of it, by another's hand."""
  candidates = np.asarray(played(target)[0].candidate.image)[..., 0]
  found = baseline(target, 'mse')[1].reconstruction[..., 0]
  pairs = [*zip(candidates, found, strict=True)]
  errors = [mean_squared_error(*pair) for pair in pairs]
  np.testing.assert_allclose(baseline(target, 'mse')[0], np.negative(errors), rtol=1e-5)
  alike = [
    structural_similarity(
      *pair, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    for pair in pairs
  ]
  # It also counts windows over the edge, so the two agree but roughly.
  assert np.corrcoef(baseline(target, 'ssim')[0], alike)[0, 1] > 0.95


@pytest.mark.parametrize('target', TARGETS)
def test_the_residual_is_what_is_left_of_the_objective(target):
  """1 - cos + a TV of the images that came out, in NumPy; not of those before the last step."""
  scores, info = baseline(target, 'residual')
  seen = played(target)[1]
  received = ravelled(seen.gradient)
  expected = ravelled(jax.vmap(functools.partial(gradient_of, target))(info, seen))
  norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(received, axis=1)
  cosines = (expected * received).sum(axis=1) / norms
  steps = [np.abs(np.diff(info.images.astype(float), axis=axis)) for axis in (2, 3)]
  variation = sum(step.mean(axis=(1, 2, 3, 4)) for step in steps)
  left = 1 - cosines + float(ATTACK.tv_weight) * variation
  np.testing.assert_allclose(scores, -left, atol=2e-6)
  assert np.abs(info.losses[:, -1] - left).max() > 1e-5


def gradient_of(target: str, info: Info, seen: Observation) -> Params:
  """The gradient that the reconstruction would send, by equation 9 or 10 as it is printed."""
  guess, params = Batch(info.images, info.labels), knowledge().params
  if target == 'query':
    return jax.grad(loss_fn)(params, guess)

  known = seen.query_set
  assert known is not None

  def after_a_step(w: Params) -> jax.Array:
    slope = jax.grad(loss_fn)(w, guess)
    return loss_fn(jax.tree.map(lambda p, s: p - 0.1 * s, w, slope), known)

  return jax.grad(after_a_step)(params)


def ravelled(tree: Params) -> np.ndarray:
  """A row for each trial, in float64."""
  return np.concatenate([np.reshape(leaf, (TRIALS, -1)) for leaf in jax.tree.leaves(tree)], 1)
