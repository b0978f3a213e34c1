"""Attacks without an optimisation: they find members, and nothing where there is nothing."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import (
  CurvatureFilter,
  GradientCosine,
  GradientCosineZ,
  Loss,
  MatchedFilter,
  NoiseFilter,
  RowSpace,
  ShadowMatchedFilter,
)
from mamljax.attacks.shadow_matched_filter import shrunk
from mamljax.audit.metrics import auc
from tests.attacks.closed_form import (
  MEMBERS,
  SHOTS,
  TRIALS,
  known_to,
  played,
  scores,
  seen,
  small,
  told,
  told_by,
  traced,
  trials,
)
from tests.attacks.plays import HIDDEN, WAYS

pytestmark = pytest.mark.optimised

CHANCE = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # three deviations of the AUC
SEEKERS = [
  pytest.param(RowSpace, 'query', 1.0, id='row_space query'),
  pytest.param(RowSpace, 'support', 1.0, id='row_space support'),
  pytest.param(MatchedFilter, 'query', 0.97, id='matched_filter'),
  pytest.param(NoiseFilter, 'query', 0.97, id='noise_filter'),
  pytest.param(ShadowMatchedFilter, 'support', 0.97, id='shadow_matched_filter'),
  pytest.param(CurvatureFilter, 'support', 0.95, id='curvature_filter'),
  pytest.param(GradientCosineZ, 'query', 0.7, id='gradient_cosine_z'),
  pytest.param(GradientCosine, 'query', 0.6, id='gradient_cosine'),
]
WITHHELD = frozenset({'classes'})
SCALELESS = [RowSpace, GradientCosine, GradientCosineZ, Loss]


def scaled(kind, target: str, factor: float):
  """Observations of a learner that multiplies its gradient."""
  change = told_by(kind, target)
  return change._replace(gradient=jax.tree.map(lambda g: g * factor, change.gradient))


@pytest.mark.parametrize(('kind', 'target', 'least'), SEEKERS)
def test_planted_members_outscore_non_members(kind, target, least):
  """Positive control: an attack that finds no planted member finds no leak either."""
  assert auc(played(kind, target)[0], MEMBERS) >= least


@pytest.mark.parametrize(('kind', 'target', 'least'), SEEKERS)
def test_the_gradient_of_another_task_says_nothing(kind, target, least):
  """Null control: without information any AUC but 0.5 is a flaw of the game or the score."""
  del least
  rolled = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), told_by(kind, target))
  assert auc(played(kind, target, rolled)[0], MEMBERS) == pytest.approx(0.5, abs=CHANCE)


def test_the_loss_at_w_says_nothing():
  """At parameters that no task has trained, a low loss is luck: the baseline must show it."""
  assert auc(played(Loss, 'query')[0], MEMBERS) == pytest.approx(0.5, abs=CHANCE)


FIXED = [RowSpace, MatchedFilter, NoiseFilter, ShadowMatchedFilter, CurvatureFilter]


@pytest.mark.parametrize('kind', FIXED)
def test_the_threshold_is_known_beforehand(kind):
  """A fixed threshold saves the calibration only where it decides rightly by itself."""
  said = played(kind, max(kind.requires))[0] > kind.threshold
  assert np.mean(said == MEMBERS) > 0.9


@pytest.mark.parametrize('kind', SCALELESS)
@pytest.mark.parametrize('factor', [1e-3, 1e25, 1e-25])
def test_the_scale_of_the_gradient_does_not_matter(kind, factor):
  """A learner that sends a thousandth of its gradient would look protected; and one whose
  adaptation explodes did, where squares overflow, or all but vanish.
  """
  before, after = (
    played(kind, 'query')[0],
    played(kind, 'query', scaled(kind, 'query', factor))[0],
  )
  np.testing.assert_allclose(after, before, rtol=1e-3, atol=1e-5)


def test_the_coefficient_is_proportional_to_the_gradient():
  """The matched filter asks how much of the candidate is in it; a half is half of it."""
  whole, nothing = (
    played(MatchedFilter, 'query', scaled(MatchedFilter, 'query', f))[1] for f in (1.0, 0.0)
  )
  half = played(MatchedFilter, 'query', scaled(MatchedFilter, 'query', 0.5))[1]
  middle = (whole.coefficient + nothing.coefficient) / 2
  np.testing.assert_allclose(half.coefficient, middle, atol=2e-4)


@pytest.mark.parametrize('kind', [RowSpace, MatchedFilter, NoiseFilter, GradientCosine])
def test_the_order_of_the_images_does_not_matter(kind):
  """A set has none: a score that moved would be reading the protocol, not the data."""
  played_trials, classes = trials('query')
  turned = jax.tree.map(lambda leaf: leaf[:, ::-1], played_trials.task)
  other = seen(played_trials._replace(task=turned), classes, known_to(kind, 'query'))
  before, after = played(kind, 'query')[0], played(kind, 'query', other)[0]
  np.testing.assert_allclose(after, before, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize('steps', [1, 3])
@pytest.mark.parametrize('target', ['query', 'support'])
def test_a_member_lies_in_the_row_space_and_no_other_does(target, steps):
  """The gap that makes one threshold do for every task: 1e-4 against 0.15."""
  residuals = -played(RowSpace, target, told(target, steps=steps))[0]
  assert residuals[MEMBERS].max() < 1e-4
  assert residuals[~MEMBERS].min() > 0.15


def changed(change) -> Any:
  """Observations with a changed gradient of the first layer."""
  gradient = told('query').gradient
  return told('query')._replace(gradient=gradient | {'first': change(gradient['first'])})


def test_columns_of_any_size_tell_as_much():
  """An image may be heard in small columns alone: where others' adaptation explodes, or where
  a trained network is sure of it. No square may overflow, no small column drown.
  """
  random = np.random.default_rng(0)
  powers = 10.0 ** random.uniform(-12, 12, size=told('query').gradient['first'].shape[2])
  powers[random.permutation(len(powers))[: len(powers) // 4]] = 1e30
  found, info = played(RowSpace, 'query', changed(lambda g: g * jnp.float32(powers)))
  assert -found[MEMBERS].min() < 1e-3
  assert -found[~MEMBERS].max() > 0.15
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(info))


def test_first_order_maml_hides_the_support_set_from_the_row_space():
  """Its gradient is the query set's alone: a support image is outside, like any other."""
  residuals = -played(RowSpace, 'support', told('support', order=1))[0]
  assert residuals.min() > 0.15
  assert auc(-residuals, MEMBERS) == pytest.approx(0.5, abs=CHANCE)
  query = -played(RowSpace, 'query', told('query', order=1))[0]
  assert query[MEMBERS].max() < 1e-4


@pytest.mark.parametrize('width', [2 * WAYS * SHOTS + 1, 2 * WAYS * SHOTS - 1])
def test_a_layer_narrower_than_the_sets_mixes_the_images(width):
  """The limit of the attack, stated and true: members leave the span once it is too small."""
  known, seen_all = known_to(RowSpace, 'query'), told('query')
  params, gradient = (
    {'first': whole['first'][..., :width], 'second': whole['second'][..., :width, :]}
    for whole in (known.params, seen_all.gradient)
  )
  narrow = dataclasses.replace(known, params=params), seen_all._replace(gradient=gradient)
  residuals = -np.asarray(scores(RowSpace(), *narrow, trials('query')[0].candidate)[0])
  assert (np.median(residuals[MEMBERS]) < 1e-3) == (width > 2 * WAYS * SHOTS)


@pytest.mark.parametrize('scale', [1e-3, 3e-2])
def test_under_noise_a_direction_counts_as_much_as_it_is_known(scale):
  """Neither does noise cut members off at a rank, nor does a non-member fit into it."""
  clean = told('query').gradient['first']
  noise = np.random.default_rng(0).normal(size=clean.shape)
  level = scale * np.linalg.norm(clean, axis=(1, 2), keepdims=True) / HIDDEN
  noisy = changed(lambda clean: clean + jnp.asarray(level * noise))
  found, info = played(RowSpace, 'query', noisy)
  np.testing.assert_allclose(info.noise, level.ravel(), rtol=0.05)
  assert (auc(found, MEMBERS) or 0) > 0.95
  assert (info.doubt >= 0).all()
  assert (info.doubt <= 1).all()


def test_pure_noise_spans_nothing():
  """Every direction is in doubt, so that all candidates are outside alike."""
  first = np.random.default_rng(0).normal(size=told('query').gradient['first'].shape)
  noise = changed(lambda _: jnp.asarray(first, jnp.float32))
  residuals = -played(RowSpace, 'query', noise)[0]
  assert residuals.min() > 0.95


def test_a_zero_gradient_gives_finite_scores():
  """One dead network must not stop a sweep, nor pass for a decision."""
  for kind in (RowSpace, MatchedFilter, GradientCosine, GradientCosineZ):
    assert np.isfinite(played(kind, 'query', scaled(kind, 'query', 0.0))[0]).all()


def test_the_shadows_covariance_is_inverted():
  """Solved among the shadows, which are fewer than the parameters: the same as in full."""
  random = np.random.default_rng(0)
  rows, vector = random.normal(size=(6, 20)), random.normal(size=20)
  apart = rows - rows.mean(axis=0)
  covariance = np.cov(apart, rowvar=False)
  ridge = 0.3 * np.trace(covariance) / len(rows)
  expected = np.linalg.solve(covariance + ridge * np.eye(20), vector)
  with jax.enable_x64(True):
    found = shrunk(jnp.asarray(apart), 0.3).solve(jnp.asarray(vector))
  np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_shadows_need_to_know_what_they_imitate():
  """Without the query set, references or classes there is nothing to draw."""
  known, seen_all = known_to(ShadowMatchedFilter, 'support'), told('support')
  for lacking in (
    (known, seen_all._replace(query_set=None)),
    (known, seen_all._replace(classes=None)),
    (dataclasses.replace(known, references=None), seen_all),
  ):
    with pytest.raises(ValueError, match=r'without the query set|without references|not told'):
      scores(small(ShadowMatchedFilter), *lacking, trials('support')[0].candidate)


def test_a_members_coefficient_is_its_share():
  """About 1/n for a member and 0 for others, or 1/(2n) would be no threshold."""
  share = played(MatchedFilter, 'query')[1].coefficient * WAYS * SHOTS
  assert np.median(share[MEMBERS]) == pytest.approx(1, abs=0.25)
  assert np.median(share[~MEMBERS]) == pytest.approx(0, abs=0.25)


def test_classes_that_are_not_told_are_found_in_the_gradient():
  """With these withheld the attack must do without the classes, and nearly as well."""
  told_all = told_by(MatchedFilter, 'query')
  blind = told_all._replace(classes=None)
  found, info = played(MatchedFilter, 'query', blind, WITHHELD)
  peeking = played(MatchedFilter, 'query', told_all, WITHHELD)[0]
  np.testing.assert_array_equal(found, peeking)
  truth = np.asarray(trials('query')[1])
  assert np.mean(info.classes == truth) > 0.6  # a tenth by chance
  assert (auc(found, MEMBERS) or 0) > 0.9


@pytest.mark.parametrize('kind', [MatchedFilter, RowSpace, GradientCosineZ])
def test_numbers_do_not_recompile(kind):
  """Else a sweep over ridges, or over gradients, would compile at every value."""
  played(kind, 'query')
  before = len(traced)
  candidates, seen_all = trials('query')[0].candidate, scaled(kind, 'query', 0.7)
  scores(small(kind, ridge=0.1), known_to(kind, 'query'), seen_all, candidates)
  assert len(traced) == before
