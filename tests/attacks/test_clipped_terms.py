"""Terms clipped one by one: what that hides of the query set, and not of the support set."""

import dataclasses
import functools
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import ATTACKS, Knowledge, NoiseFilter, ShadowMatchedFilter
from mamljax.audit.metrics import auc
from mamljax.audit.playing import Outcome, play
from mamljax.defences import Chain, Defence, DPExamples, Gaussian, TopK
from tests.attacks.closed_form import (
  MEMBERS,
  TRIALS,
  convolutional,
  scores,
  seen_defended,
  small,
  trials,
)
from tests.defences.test_aggregate import INNER, KEY, LINEAR, linear, pool

CLIPS = {
  'whole': (1e6, 0.0),
  'clipped': (0.3, 0.0),
  'noisy': (0.3, 0.3),
  'drowned': (0.3, 1e5),
}


def defence(name: str) -> Defence:
  """A defence of these, with arrays for numbers, as one program takes any strength."""
  return Defence(outgoing=DPExamples(*map(jnp.float32, CLIPS[name])))


@functools.cache
def played(name: str, *, told: bool = True) -> Outcome:
  """The noise filter on means of eight images in each of two slots."""
  knows = defence(name) if told else Defence()
  known = Knowledge(linear, LINEAR, INNER, pool(), defence=knows, ways=2, shots=8)
  options: Any = {'attack': NoiseFilter(directions=72), 'trials': 400, 'chunk': 400}
  return play(KEY, pool(), known, defence=defence(name), **options)


def area(name: str) -> float:
  """The area under the ROC curve of who knows the defence."""
  return float(auc(played(name).scores, played(name).members) or 0)


def right(name: str, *, told: bool = True) -> float:
  """The share of right decisions, at the threshold that is known beforehand."""
  found = played(name, told=told)
  return float(np.mean((found.scores > 0) == found.members))


def test_a_clip_that_nothing_reaches_has_the_scores_of_no_defence():
  """Strength zero; else two programs for one message."""
  undefended = np.asarray(played('whole', told=False).scores)
  atol = 0.01 * float(undefended.std())
  np.testing.assert_allclose(played('whole').scores, undefended, atol=atol)
  assert area('whole') > 0.9


def test_a_clip_alone_hides_nothing_from_who_knows_it():
  """Else a clip without noise, which guarantees nothing, would be reported as a defence."""
  assert area('clipped') > area('whole') - 0.03
  assert right('clipped') > right('clipped', told=False) + 0.2


def test_noise_of_a_known_size_is_weighed():
  """A filter that knows both is what measures the defence."""
  assert right('noisy') > right('noisy', told=False) + 0.05


def test_great_noise_leaves_chance():
  """A score that still told members would read something that is not there."""
  assert area('drowned') == pytest.approx(0.5, abs=4 * (1 / (3 * 400)) ** 0.5)


@functools.cache
def support(name: str) -> float:
  """The AUC of the filter of the support set of convolutional learners."""
  made, told = defence(name), frozenset({'classes', 'query_set'})
  seen = seen_defended(made, target='support', requires=told)
  known = convolutional('support')
  known = dataclasses.replace(known, defence=made)
  candidates = trials('support')[0].candidate
  found = scores(small(ShadowMatchedFilter), known, seen, candidates)[0]
  return float(auc(np.asarray(found), MEMBERS) or 0)


@pytest.mark.slow
def test_the_support_set_is_found_behind_clipped_query_terms():
  """The clip is of the query set: nothing of it hides an image that is in every term."""
  assert support('clipped') > max(0.8, support('whole') - 0.1)
  chance = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5
  assert support('drowned') == pytest.approx(0.5, abs=chance)


@pytest.mark.parametrize(
  ('hook', 'knowing'),
  [
    (DPExamples(0.1, 1.0), {'noise_filter', 'shadow_matched_filter', 'silent_units'}),
    (Chain(DPExamples(0.1, 1.0), TopK(0.1)), set()),
  ],
)
def test_an_attack_models_clipped_terms_only_if_it_does(hook, knowing):
  """Else 'safe' would be said for the sake of an attack that took terms for gradients."""
  for name, kind in ATTACKS.items():
    for target in kind.requires:
      allowed = kind().allows_for(Defence(outgoing=hook), target)
      assert allowed == (name in knowing | {'shadow_classifier'}), (name, target)
  noisy = Defence(inner=Gaussian(0.1), outgoing=DPExamples(0.1, 1.0))
  assert not NoiseFilter().allows_for(noisy, 'query')
