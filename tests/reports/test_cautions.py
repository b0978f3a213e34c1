"""A report names the attacks that were not played, and what it takes for granted."""

import dataclasses

import jax
import numpy as np
import optax
import pytest

import mamljax
from mamljax import Adversary, Defence, Gaussian, InputError, Learner
from mamljax.data.arrays import FRACTIONS, PRIVATE_FRACTIONS
from mamljax.reports import choice, optimizers, sizes
from tests.reports.test_audit_tasks import audit
from tests.reports.test_audit_update import audit as audit_update
from tests.reports.test_audit_update import public

ADAM = Learner(1, optax.adam(0.01))


@pytest.mark.parametrize('attacks', ['loss', ['loss', mamljax.ATTACKS['matched_filter']()]])
def test_attacks_that_were_not_asked_for_are_named(attacks):
  """Else it reads as if they did not exist, and their absence as safety."""
  found = audit(attacks, trials=16)
  asked = {'loss'} if attacks == 'loss' else {'loss', 'matched_filter'}
  assert set(found.skipped) == set(mamljax.ATTACKS) - asked
  assert all(reason.startswith('not asked for') for reason in found.skipped.values())
  assert 'would not apply: ' in found.skipped['curvature_filter']
  assert found.skipped['gradient_cosine'] == 'not asked for'
  assert set(found.unasked) == {x for x, why in found.skipped.items() if why == 'not asked for'}
  (warning,) = (text for text in found.warnings if 'not asked for' in text)
  assert warning.startswith(f'{len(found.unasked)} attacks that may apply were not asked for')
  if attacks == 'loss':
    assert found.finding.level == 'none'
    assert all(name in found.verdict for name in found.unasked)


def test_an_update_is_asked_about_with_other_attacks_by_its_own_argument():
  """A message that names an argument that is not there sends the user to read the source."""
  found = audit_update(attack='gradient_cosine')
  assert found.skipped['loss'] == 'not asked for'
  assert 'gradient_cosine' not in found.skipped
  with pytest.raises(InputError, match=r'np.moveaxis\(x, 1, -1\); to from_arrays say'):
    audit_update(candidates=(np.zeros((2, 3, 8, 8), np.float32), np.zeros(2, int)))


@pytest.mark.parametrize('argument', ['attack', 'attacks'])
def test_slow_attacks_are_asked_for_by_the_argument_that_there_is(argument):
  """`audit_update` has no argument `attacks`."""
  reason = choice._left_out('reconstruction', argument)
  assert reason.endswith(f": ask for it by {argument}='all'")


@pytest.mark.parametrize(
  ('adversary', 'count'), [(Adversary(), 30), (Adversary(references=False), 0)]
)
def test_the_number_of_public_images_is_said(adversary, count):
  """With ten times as many an adversary may find more."""
  found = audit(['gradient_cosine'], trials=16, adversary=adversary)
  assert found.asked['references'] == count
  said = any(
    'It has 30 images of each of 4 classes that are public' in x for x in found.assumptions
  )
  assert said == (count > 0)


def test_the_public_images_of_an_update_are_counted_by_their_use():
  """A p-value rests on how many there are."""
  found = audit_update(attack='gradient_cosine_z', public=public(5, 80))
  assert any(
    'Of each class: 28 for the attack to learn from, 52 to' in x for x in found.assumptions
  )


def test_an_attack_that_models_the_learner_may_find_more():
  """And the baseline that reads nothing of an update is blind to no learner, nor defence."""
  found = audit(['gradient_cosine', 'loss'], learner=ADAM, trials=16)
  (warning,) = (text for text in found.warnings if 'declared learner' in text)
  assert 'not modelled by: gradient_cosine. This attack takes what is sent' in warning
  assert warning.endswith('an attack that models the learner may find more.')
  assert found.row('loss').notes == ('does not look at what is sent',)
  noise = Learner(1, 0.1, defence=Defence(outgoing=Gaussian(0.1)))
  found = audit(['gradient_cosine', 'loss'], learner=noise, trials=16)
  assert any('No attack that was played models' in text for text in found.warnings)


def test_changes_of_images_and_labels_are_said():
  """A model of labels 3, 7 and 9 was asked about 0, 1 and 2; one of bytes, about [0, 1]."""
  images, labels = public(3, 30)
  names = np.array(['cat', 'dog', 'owl'])[labels]
  data = mamljax.from_arrays(images, names)
  found = audit(['loss'], data=data, trials=16)
  assert 'Of the data: uint8: 0..255 is [0, 1].' in found.assumptions
  order = "The labels 'cat', 'dog', 'owl' are the {} 0 to 2, in this order."
  assert order.format('classes') in found.assumptions
  said = audit_update(attack='loss', public=(public()[0], np.array([3, 7, 9])[public()[1]]))
  assert 'Of the public images: uint8: 0..255 is [0, 1].' in said.assumptions
  assert 'The labels 3, 7, 9 are the slots 0 to 2, in this order.' in said.assumptions
  plain = audit_update(attack='loss', public=(public()[0] / np.float32(255), public()[1]))
  assert not any(text.startswith(('Of the ', 'The labels')) for text in plain.assumptions)


def own():
  """An optimiser of one's own."""

  def update(updates, state, params=None):
    del params
    return jax.tree.map(lambda leaf: -leaf, updates), state

  return optax.GradientTransformation(lambda params: (), update)


@pytest.mark.parametrize(
  ('optimizer', 'words'),
  [
    (optax.adam(0.01), 'scale_by_adam(b1=0.9, b2=0.999, eps=1e-08, eps_root=0), scale(step'),
    (optax.sgd(0.1, momentum=0.9), 'trace(decay=0.9), scale(step_size=-0.1)'),
    (optax.chain(optax.clip(1.0), own()), 'clip(max_delta=1), own'),
    (optax.inject_hyperparams(optax.adam)(learning_rate=0.1), 'inject_hyperparams(adam)'),
    (
      optax.GradientTransformation(
        lambda params: (), lambda updates, state, params=None: (updates, state)
      ),
      'without a name (a function that is defined by `def` has one)',
    ),
  ],
  ids=['adam', 'momentum', 'own', 'injected', 'unnamed'],
)
def test_an_optimizer_is_named(optimizer, words):
  """Two reports of 'an optimiser of optax' are of nobody knows which."""
  assert words in optimizers.describe(optimizer)


@pytest.mark.parametrize('shots', [2, 3])
@pytest.mark.parametrize('has_public', [False, True])
def test_as_many_inputs_as_are_asked_for_are_enough(shots, has_public):
  """The message is believed: less must not pass for enough, in any pool."""
  images, labels = public(3, 4 * shots + 3)
  whole = mamljax.from_arrays(images, labels)
  with pytest.raises(
    InputError, match=f'has . images? of class 0, {2 * shots + 1} are'
  ) as said:
    audit(['loss'], data=whole, shots=shots)
  enough = int(str(said.value).split('; ')[1].split()[0])
  for count in range(enough, enough + 8):
    data = mamljax.from_arrays(*public(3, count), public=public(4, 10) if has_public else None)
    for name in ('calibration', 'victims'):
      sizes.check(data, name, shots=shots)
  assert enough <= 2 + (2 * shots + 1) / min(FRACTIONS[1], PRIVATE_FRACTIONS[1]) + 5


def test_tables_of_an_update_are_in_its_text():
  """The attacks that were tried are as much of an answer as the one that was chosen."""
  tried = audit_update(attack=['gradient_cosine', 'loss'], public=public(5, 80))
  assert f'{"Attacks tried on simulated tasks"}:\n\nattack' in str(tried)
  assert all(f'{name}  ' in str(tried) for name in tried.power)
  assert 'Attacks tried' in tried.to_html()
  single = audit_update(attack='loss')
  assert 'Attacks tried' not in str(single) + single.to_html()
  found = dataclasses.replace(tried, called=np.arange(len(tried.scores)) < 2)
  assert 'on average, at most 10 % of those that are called are non-members' in found.verdict
