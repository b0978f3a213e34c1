"""Terms clipped one by one: what that hides of the query set, and not of the support set."""

import dataclasses
import functools

import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import ATTACKS, NoiseFilter, ShadowMatchedFilter
from mamljax.audit.metrics import auc
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

CLIPS = {
  'whole': (1e6, 0.0),
  'clipped': (0.03, 0.0),
  'noisy': (0.03, 0.1),
  'drowned': (0.03, 1e4),
}
KINDS = {'query': NoiseFilter, 'support': ShadowMatchedFilter}


def defence(name: str | None) -> Defence:
  """A defence of these, with arrays for numbers, as one program takes any strength."""
  numbers = CLIPS[name] if name else None
  return Defence(outgoing=DPExamples(*map(jnp.float32, numbers))) if numbers else Defence()


@functools.cache
def found(name: str | None, *, target: str = 'query', told: bool = True) -> np.ndarray:
  """The scores of the filter of a set on learners with a defence."""
  seen = seen_defended(
    defence(name), target=target, requires=frozenset({'classes', 'query_set'})
  )
  known = dataclasses.replace(convolutional(target), defence=defence(name) if told else None)
  return np.asarray(scores(small(KINDS[target]), known, seen, trials(target)[0].candidate)[0])


def area(*arguments, **options) -> float:
  """The area under the ROC curve of `found`."""
  return float(auc(found(*arguments, **options), MEMBERS) or 0)


@pytest.mark.parametrize('target', KINDS)
def test_a_clip_that_nothing_reaches_has_the_scores_of_no_defence(target):
  """Strength zero; else two programs for one message."""
  undefended = found(None, target=target)
  found_ = found('whole', target=target)
  np.testing.assert_allclose(found_, undefended, atol=0.05 * float(undefended.std()))


def test_a_clip_alone_hides_nothing_from_who_knows_it():
  """Else a clip without noise, which guarantees nothing, would be reported as a defence."""
  assert area('clipped') > 0.97
  assert area('clipped') > area('clipped', told=False) + 0.05


def test_noise_of_a_known_size_is_weighed():
  """A filter that knows both is what measures the defence."""
  assert area('noisy') > area('noisy', told=False) + 0.05


@pytest.mark.parametrize('target', KINDS)
def test_great_noise_leaves_chance(target):
  """A score that still told members would read something that is not there."""
  chance = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5
  assert area('drowned', target=target) == pytest.approx(0.5, abs=chance)


def test_the_support_set_is_found_behind_clipped_query_terms():
  """The clip is of the query set: nothing of it hides an image that is in every term."""
  assert area('clipped', target='support') > area(None, target='support') - 0.1
  assert area('clipped', target='support') > 0.8


@pytest.mark.parametrize(
  ('hook', 'knowing'),
  [
    (DPExamples(0.1, 1.0), {'noise_filter', 'shadow_matched_filter'}),
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
