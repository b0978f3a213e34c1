"""An audit of the same function gives the same numbers, whatever framework it is written in."""

import math

import jax
import numpy as np
import pytest

import mamljax
from tests import frameworks

FRAMEWORKS = tuple(frameworks.FRAMEWORKS)
# Of the scores `tests/attacks/test_any_framework.py` holds each; `make slow` audits all.
QUICK = {'equinox', 'dict'}
OTHERS = [
  pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow])
  for name in FRAMEWORKS
  if name != 'linen'
]


def examples():
  """Noisy copies of a picture for each of four classes."""
  random = np.random.default_rng(0)
  labels = np.repeat(np.arange(4), 50)
  pictures = random.uniform(size=(4, *frameworks.SHAPE))[labels]
  noisy = pictures + random.normal(scale=0.2, size=pictures.shape)
  return mamljax.from_arrays(np.clip(noisy, 0, 1).astype(np.float32), labels)


def audit(framework, attacks, *, trials):
  """The report on the network of a framework."""
  loss_fn, params = frameworks.make(framework, 'mlp')
  learner = mamljax.Learner(1, 0.1)
  sizes = {'ways': frameworks.WAYS, 'shots': 1, 'trials': trials}
  return mamljax.audit_tasks(loss_fn, params, examples(), learner, attacks=attacks, **sizes)


@pytest.fixture(scope='module')
def linen():
  """The report on the network as Flax linen has it."""
  return audit('linen', ['row_space', 'gradient_cosine'], trials=20)


@pytest.mark.parametrize('framework', OTHERS)
def test_the_worst_case_is_that_of_the_function(linen, framework):
  """A user of another framework would be told 'safe' where everything leaks."""
  found = audit(framework, ['row_space', 'gradient_cosine'], trials=20)
  assert (found.worst.attack, found.worst.accuracy) == (
    linen.worst.attack,
    linen.worst.accuracy,
  )
  assert found.worst.accuracy.value == 1
  for row in found.attacks:
    np.testing.assert_allclose(row.scores, linen.row(row.attack).scores, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize('kind', ['mlp', 'conv'])
def test_every_attack_sees_every_framework(kind):
  """The same for each attack that is played by default, of dense and of conv layers."""
  reports = {}
  for framework in FRAMEWORKS:
    loss_fn, params = frameworks.make(framework, kind)
    reports[framework] = mamljax.audit_tasks(
      *(loss_fn, params, examples(), mamljax.Learner(1, 0.1)),
      ways=frameworks.WAYS,
      shots=1,
      trials=40,
      budget=math.inf,
    )
    jax.clear_caches()
  first, *others = reports.values()
  for found in others:
    assert found.worst.attack == first.worst.attack
    assert found.skipped.keys() == first.skipped.keys()
    for row in found.attacks:
      assert abs(row.auc.value - first.row(row.attack).auc.value) < 0.02
