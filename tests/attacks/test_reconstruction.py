"""The paper's attack: it finds members where there are any, and nothing where there is none."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import Observation
from mamljax.audit.metrics import auc
from mamljax.images import ssim
from tests.attacks.digits import SHAPE
from tests.attacks.plays import (
  ATTACK,
  MEMBERS,
  TRIALS,
  WAYS,
  attack,
  knowledge,
  played,
  traced,
)

pytestmark = pytest.mark.optimised

KEY = jax.random.key(11)
TARGETS = ('query', 'support')


@functools.cache
def baseline(target: str):
  """Scores and Info of the played trials with the default options."""
  return attacked(target)


def attacked(target: str, observation: Observation | None = None, **options: Any) -> Any:
  """The same with other observations or options, in NumPy."""
  trials, seen = played(target)
  chosen = dataclasses.replace(ATTACK, **options)
  said = attack(KEY, knowledge(target), observation or seen, trials.candidate, chosen)
  return jax.tree.map(np.asarray, said)


def with_gradients(target: str, change) -> Observation:
  """The played observations, every leaf of their gradients changed."""
  seen = played(target)[1]
  return seen._replace(gradient=jax.tree.map(change, seen.gradient))


@pytest.mark.parametrize(('target', 'least'), [('query', 0.9), ('support', 0.75)])
def test_planted_members_outscore_non_members(target, least):
  """Positive control: an audit whose attack finds no planted member finds no leak either."""
  scores, _ = baseline(target)
  assert auc(scores, MEMBERS) > least


@pytest.mark.parametrize('target', TARGETS)
def test_the_gradient_of_another_task_says_nothing(target):
  """Null control: without information any AUC but 0.5 is a flaw of the game or the score."""
  scores, _ = attacked(target, with_gradients(target, lambda g: jnp.roll(g, 1, axis=0)))
  deviation = ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5  # of the AUC, if all orders are alike
  assert auc(scores, MEMBERS) == pytest.approx(0.5, abs=3 * deviation)


@pytest.mark.parametrize('target', TARGETS)
def test_the_objective_falls_and_the_images_stay_images(target):
  """An optimiser that climbs, or leaves [0, 1], does not solve equation 9 or 10."""
  _, info = baseline(target)
  assert info.losses.shape == (TRIALS, ATTACK.iterations)
  first, last = info.losses[:, 0], info.losses[:, -1]
  assert np.mean(last < first) > 0.9  # a signed step may also overshoot
  assert last.mean() < first.mean() / 2
  assert info.images.shape == (TRIALS, WAYS, *SHAPE)
  assert info.images.min() >= 0
  assert info.images.max() <= 1


@pytest.mark.parametrize('target', TARGETS)
def test_the_score_is_the_similarity_of_start_and_end_of_one_slot(target):
  """Section IV-C scores SSIM(x_0, x*); a score of another slot or image would still vary."""
  scores, info = baseline(target)
  candidates = played(target)[0].candidate
  slots = info.images[np.arange(TRIALS), np.asarray(candidates.label)]
  np.testing.assert_array_equal(slots, info.reconstruction)
  expected = ssim(candidates.image, jnp.asarray(info.reconstruction))
  np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize('target', TARGETS)
def test_the_candidate_starts_in_a_slot_of_its_class_and_noise_in_the_others(target):
  """A candidate under a wrong label is pushed away whether it is a member or not."""
  scores, info = attacked(target, learning_rate=0.0)
  candidates = played(target)[0].candidate
  unmoved = np.all(info.images == np.asarray(candidates.image)[:, None], axis=(2, 3, 4))
  labels = np.asarray(candidates.label)
  np.testing.assert_array_equal(unmoved, labels[:, None] == np.arange(WAYS))
  np.testing.assert_allclose(scores, 1, atol=1e-6)
  noise = info.images[~unmoved]
  assert noise.mean() == pytest.approx(0.5, abs=0.01)
  assert np.percentile(noise, 84) - np.percentile(noise, 16) == pytest.approx(0.5, abs=0.01)
  assert not np.array_equal(noise[0], noise[1])


def test_the_first_guess_follows_its_options():
  """Flags that change nothing would be tuned in vain."""
  start: dict[str, Any] = {'learning_rate': 0.0, 'start_mean': 0.75, 'start_scale': 0.0}
  _, info = attacked('query', **start)
  others = np.asarray(played('query')[0].candidate.label) ^ 1
  np.testing.assert_array_equal(info.images[np.arange(TRIALS), others], 0.75)


@pytest.mark.parametrize('target', TARGETS)
def test_the_scale_of_the_gradient_does_not_matter(target):
  """A learner that sends half its gradient would look protected; and one whose adaptation
  explodes did, whose squares overflow. A power of two is exact.
  """
  scores, _ = baseline(target)
  scaled, _ = attacked(target, with_gradients(target, lambda g: g * 2.0**90))
  np.testing.assert_array_equal(scaled, scores)


@pytest.mark.parametrize('target', TARGETS)
def test_a_zero_gradient_gives_finite_scores(target):
  """One dead network must not stop a sweep, nor pass for a decision."""
  scores, info = attacked(target, with_gradients(target, jnp.zeros_like))
  assert np.isfinite(scores).all()
  assert np.isfinite(info.losses).all()


def test_total_variation_smooths():
  """A large weight must flatten the reconstruction: it reaches the objective."""
  found = baseline('query'), attacked('query', tv_weight=1.0)
  steps = [np.abs(np.diff(info.images, axis=2)).mean() for _, info in found]
  assert steps[1] < steps[0] / 2


def test_a_sweep_of_float_options_compiles_once():
  """Else tuning a step size or a TV weight would recompile at every value."""
  baseline('query')
  before = len(traced)
  for name in ('learning_rate', 'tv_weight', 'start_mean', 'start_scale'):
    changed = attacked('query', None, **{name: 0.3})[0]
    assert not np.array_equal(changed, baseline('query')[0])
  assert len(traced) == before


def test_scores_are_repeatable_and_depend_on_the_key():
  """Bit for bit; and the noise of the other slots is fresh in each trial."""
  scores, _ = baseline('query')
  np.testing.assert_array_equal(scores, attacked('query')[0])
  trials, seen = played('query')
  other, _ = attack(jax.random.key(1), knowledge(), seen, trials.candidate, ATTACK)
  assert not np.array_equal(scores, other)


def test_the_support_attack_says_what_it_lacks():
  """Without the query set it could only guess; a silent guess would be a weaker attack."""
  trials, seen = played('query')
  blind = jax.tree.map(lambda leaf: leaf[0], (seen, trials.candidate))
  with pytest.raises(ValueError, match='without the query set'):
    ATTACK.score(KEY, knowledge('support'), *blind)
