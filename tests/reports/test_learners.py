"""An audit of learners of other protocols skips the attacks that do not model them, by name."""

import types
from typing import Any

import jax
import optax
import pytest

import mamljax
from mamljax import InputError, Learner
from mamljax.reports import choice
from tests.reports import small
from tests.reports.test_audit_update import SHOTS, both, private, public


def audit(learner: Learner, target: str, attacks: list[str]) -> mamljax.Report:
  """A short audit of the small world."""
  return mamljax.audit_tasks(
    small.loss_fn,
    small.params(),
    small.world(),
    learner,
    ways=small.WAYS,
    shots=1,
    target=target,
    attacks=attacks,
    trials=16,
  )


def test_attacks_that_do_not_model_the_optimizer_are_skipped_with_the_reason():
  """Else an attack on another learner is played, finds nothing, and says safe."""
  learner = Learner(2, optax.adam(0.01), sends='fomaml')
  found = audit(learner, 'support', ['gradient_cosine', 'curvature_filter'])
  assert found.worst.attack == 'gradient_cosine'
  assert 'models plain gradient steps of one rate' in found.skipped['curvature_filter']


def test_a_query_set_that_is_not_used_is_not_audited():
  """No attack could find it, and an audit of nothing would be called safe."""
  with pytest.raises(InputError, match="sends 'reptile' does not use its query set"):
    audit(Learner(1, 0.1, sends='reptile'), 'query', ['gradient_cosine'])


@pytest.mark.parametrize(
  ('sends', 'knows', 'is_modelled'),
  [('maml', False, True), ('delta', True, True), ('delta', False, False)],
)
def test_noise_on_steps_is_said_to_be_modelled_where_the_learner_is_known(
  sends, knows, is_modelled
):
  """It is in units of the steps: who does not know these takes it for a tenth of itself."""
  setup: Any = types.SimpleNamespace(
    knowledge=types.SimpleNamespace(target='support'),
    adversary=mamljax.Adversary(learner=knows),
    inner=Learner(1, 0.1, sends=sends),
    defence=mamljax.Defence(outgoing=mamljax.Gaussian(0.01)),
  )
  notes = choice.notes({'silent_units': mamljax.ATTACKS['silent_units']()}, setup, plain=False)
  assert (choice.DEFENCE not in notes['silent_units']) == is_modelled


@pytest.mark.parametrize('sends', ['delta', 'reptile'])
def test_filters_of_the_query_set_say_what_seeks_the_support_set(sends):
  """Else a user of federated averaging misses the filters, and does not know why."""
  found = audit(Learner(1, 0.1, sends=sends), 'support', ['loss', 'matched_filter'])
  for name in ('matched_filter', 'noise_filter'):
    assert "'delta' and 'reptile' included; 'shadow_matched_filter'" in found.skipped[name]
  assert found.skipped['shadow_matched_filter'] == 'not asked for'


def test_a_received_weight_delta_is_read_as_a_gradient_of_the_support_set():
  """With its sign lost, members would score below everybody else."""
  learner = Learner(2, 0.1, sends='delta')
  task, others = private(0)
  sent = mamljax.send_gradient(jax.random.key(0), small.loss_fn, small.params(), task, learner)
  found = mamljax.audit_update(
    small.loss_fn,
    small.params(),
    sent,
    both(task.support, others),
    public=public(),
    learner=learner,
    shots=SHOTS,
    target='support',
    attack='gradient_cosine_z',
    fpr=0.1,
  )
  members = len(task.support.labels)
  assert found.scores[:members].mean() > found.scores[members:].mean() + 0.2
