"""Compressed messages: what they hide from who does not know it, and not from who does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import ATTACKS, GradientCosineZ, NoiseFilter, SilentUnits
from mamljax.attacks.base import needs_of, tell
from mamljax.audit.metrics import auc
from mamljax.defences import Chain, Defence, DPGaussian, Gaussian, Quantised, Sign, TopK
from mamljax.errors import InputError
from tests.attacks.closed_form import (
  MEMBERS,
  TRIALS,
  convolutional,
  scores,
  seen_defended,
  small,
  trials,
)

PRUNED, SIGNED, ROUNDED = (Defence(outgoing=x) for x in (TopK(0.05), Sign(), Quantised(2.0)))
CLIPPED = Defence(outgoing=Chain(DPGaussian(0.05, 0.0), TopK(0.1)))
COVERED = Defence(outgoing=Chain(TopK(0.1), Gaussian(1e-3)))
SIMULATING = {'shadow_classifier'}  # whatever it is
KNOWN = {'noise_filter', 'shadow_matched_filter'}
COSINES = {'gradient_cosine', 'gradient_cosine_z'}


def numbers(defence: Defence) -> Defence:
  """The same with arrays for numbers, as one program takes any strength."""
  return jax.tree.map(jnp.float32, defence)


@functools.cache
def found(name: str, attack: str = 'noise_filter', *, told: bool = True, rolled: bool = False):
  """The scores of an attack on learners with one of the defences below."""
  defence = numbers(DEFENCES[name])
  seen = seen_defended(defence, target='query', requires=frozenset({'classes', 'query_set'}))
  if rolled:
    seen = jax.tree.map(lambda leaf: jnp.roll(leaf, 1, axis=0), seen)
  known = dataclasses.replace(convolutional(), defence=defence if told else None)
  kind = {'noise_filter': NoiseFilter, 'silent_units': SilentUnits}.get(attack, GradientCosineZ)
  made = small(kind) if kind is NoiseFilter else kind()
  return np.asarray(scores(made, known, seen, trials('query')[0].candidate)[0])


DEFENCES = {
  'none': Defence(),
  'whole': Defence(outgoing=TopK(1.0)),
  'fine': Defence(outgoing=Quantised(1e6)),
  'pruned': PRUNED,
  'one number': Defence(outgoing=TopK(1e-6)),
  'signed': SIGNED,
  'rounded': ROUNDED,
  'clipped': CLIPPED,
}


def area(*arguments, **options) -> float:
  """The area under the ROC curve of `found`."""
  return float(auc(found(*arguments, **options), MEMBERS) or 0)


@pytest.mark.parametrize('name', ['pruned', 'clipped'])
def test_who_knows_the_form_of_a_message_finds_members_in_it(name):
  """Else a message that is coarse would be reported as a defence, for want of an attack."""
  assert area(name) > 0.97
  assert area(name) > area(name, told=False) + 0.1


@pytest.mark.parametrize('name', ['pruned', 'signed', 'clipped'])
def test_who_knows_the_form_of_a_message_decides_rightly(name):
  """A ratio of likelihoods is compared with 0, and one of another message is off by far."""
  aware, unaware = found(name), found(name, told=False)
  assert area(name) > 0.9
  assert np.mean((aware > 0) == MEMBERS) > np.mean((unaware > 0) == MEMBERS)


def test_rounding_to_two_levels_hides_next_to_nothing():
  """Its error is noise of a known variance, and added to thousands of numbers."""
  assert area('rounded') > 0.97
  assert area('rounded') > area('rounded', told=False) + 0.01


def test_a_message_of_which_nothing_is_pruned_has_the_scores_of_no_defence():
  """The likelihood of a message that is whole is that of the gradient."""
  undefended = found('none')
  np.testing.assert_allclose(found('whole'), undefended, atol=0.05 * float(undefended.std()))


def test_a_fine_rounding_has_nearly_the_scores_of_no_defence():
  """A million levels: numbers that are smaller than a millionth of their array are lost."""
  assert np.corrcoef(found('fine'), found('none'))[0, 1] > 0.98
  assert area('fine') > area('none') - 0.01


@pytest.mark.parametrize('name', ['pruned', 'signed', 'rounded'])
def test_the_compressed_gradient_of_another_task_says_nothing(name):
  """Null control: a mask or a sign must not look like a member."""
  chance = 3 * ((TRIALS + 1) / (3 * TRIALS**2)) ** 0.5
  assert area(name, rolled=True) == pytest.approx(0.5, abs=chance)


def test_one_number_says_little():
  """Great strength: what is not there cannot be read, and no ratio is far from 0."""
  assert area('one number') < 0.85
  assert np.abs(found('one number')).max() < 0.1 * found('none').std()


def test_signs_keep_the_zeros_and_pruning_makes_others():
  """Silent units read the first as if nothing were hidden, and are at a loss on the second."""
  undefended = found('none', 'silent_units')
  np.testing.assert_allclose(found('signed', 'silent_units'), undefended, atol=1e-6)
  assert area('pruned', 'silent_units') < area('none', 'silent_units') - 0.2


@pytest.mark.parametrize(
  ('defence', 'knowing'),
  [
    (PRUNED, KNOWN | COSINES),
    (ROUNDED, KNOWN | COSINES),
    (SIGNED, KNOWN | COSINES | {'silent_units'}),
    (CLIPPED, KNOWN),
    (COVERED, set()),
    (
      SIGNED._replace(inner=Gaussian(0.1)),
      {'shadow_matched_filter', 'silent_units of support'},
    ),
    (Defence(outgoing=Gaussian(0.1)), KNOWN | {'curvature_filter', 'silent_units'}),
  ],
)
def test_an_attack_models_a_defence_only_if_it_does(defence, knowing):
  """Else a report would say 'safe' for the sake of an attack that took zeros for silence."""
  for name, kind in ATTACKS.items():
    for target in kind.requires:
      allowed = kind().allows_for(defence, target)
      knows = {name, f'{name} of {target}'} & (knowing | SIMULATING)
      assert allowed == bool(knows), (name, target)


@pytest.mark.parametrize('name', ['shadow_matched_filter', 'gradient_cosine_z'])
def test_who_is_not_told_a_defence_does_without(name):
  """The adversary of the paper; the noise filter has nothing to ask then, and is refused."""
  known = dataclasses.replace(
    convolutional('support'), defence=PRUNED, withheld=frozenset({'defence'})
  )
  assert tell(ATTACKS[name](), known).defence is None
  with pytest.raises(InputError, match='cannot do without defence'):
    needs_of(NoiseFilter(), 'query', withheld=known.withheld)
