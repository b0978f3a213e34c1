"""A published defence: what an adversary makes of it, and the support filter that does."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import CurvatureFilter, NoiseFilter, SilentUnits
from mamljax.attacks.base import tell
from mamljax.attacks.gaussian.known_noise import (
  DRAWS,
  clip_factor,
  clip_of,
  draws,
  hooks,
  variance_sent,
  without_mean,
)
from mamljax.attacks.gaussian.sketches import make_sketch
from mamljax.audit.metrics import auc
from mamljax.defences import Defence, DPGaussian, Gaussian
from mamljax.linear_algebra import low_rank_plus_diagonal
from mamljax.protocol import Learner
from tests.attacks.closed_form import (
  MEMBERS,
  convolutional,
  scores,
  seen_defended,
  small,
  trials,
)

LOUD = {
  'outgoing': Defence(outgoing=Gaussian(jnp.float32(1e-4), jnp.float32(0))),
  'everywhere': Defence(*(Gaussian(jnp.float32(scale)) for scale in (0.1, 0.03, 0.03, 1e-5))),
}
QUIET = Defence(query=Gaussian(jnp.float32(0.1)))


@functools.cache
def seen(name: str):
  """Observations of learners that defend themselves."""
  requires = frozenset({'classes', 'query_set'})
  return seen_defended(LOUD[name], target='support', requires=requires)


@functools.cache
def found(name: str, *, told: bool) -> float:
  """The AUC against learners with the defence of this name, of who is told of it or is not."""
  defence = LOUD[name] if told else None
  known = dataclasses.replace(convolutional('support'), defence=defence)
  candidates = trials('support')[0].candidate
  given = scores(small(CurvatureFilter), known, seen(name), candidates)[0]
  area = auc(np.asarray(given), MEMBERS)
  assert area is not None
  return area


@pytest.mark.parametrize('name', LOUD)
def test_who_knows_the_noise_finds_members_in_it(name):
  """Positive control, and no worse than who does not: it is what measures a defence."""
  aware = found(name, told=True)
  assert aware > 0.75
  assert aware >= found(name, told=False) - 0.02


def test_noise_that_is_sent_is_what_the_filter_gains_by_knowing():
  """The rest of a gradient's spread hides it from who takes noise for an image."""
  assert found('outgoing', told=True) > found('outgoing', told=False) + 0.1


def test_what_a_defence_does_where_it_does_nothing():
  """The identity, once; noise is drawn, and a mean is over draws of it."""
  known = dataclasses.replace(convolutional(), defence=QUIET)
  image = jnp.zeros((4, 4, 1))
  key = jax.random.key(0)
  np.testing.assert_array_equal(hooks(known).support(key, image), image)
  assert np.std(hooks(known).query(key, image)) == pytest.approx(0.1, rel=0.5)
  assert (draws(known, 'query'), draws(known, 'support')) == (DRAWS, 1)
  assert draws(convolutional(), 'query') == 1
  assert variance_sent(known) == 0


@pytest.mark.parametrize('kind', [NoiseFilter, CurvatureFilter])
def test_the_mean_of_noise_that_is_sent_is_taken_off(kind):
  """Published, it hides nothing: the scores are those of noise around zero."""
  (target,) = kind.requires
  candidates, both = trials(target)[0].candidate, []
  for mean in (0.0, 0.5):
    defence = Defence(outgoing=Gaussian(jnp.float32(3e-5), jnp.float32(mean)))
    known = dataclasses.replace(convolutional(target), defence=defence)
    requires = frozenset({'classes', 'query_set'})
    told = seen_defended(defence, target=target, requires=requires)
    both.append(scores(small(kind), known, told, candidates)[0])
  assert np.std(both[0]) > 0
  np.testing.assert_allclose(both[0], both[1], atol=0.05 * float(np.std(both[0])))


@pytest.mark.parametrize('kind', [NoiseFilter, CurvatureFilter])
def test_a_clip_that_is_known_costs_next_to_nothing(kind):
  """One number of thousands is lost: who takes it for a defence would trust next to nothing."""
  (target,) = kind.requires
  candidates, found = trials(target)[0].candidate, {}
  for clip, told in ((1e6, True), (0.05, True), (0.05, False)):
    defence = Defence(outgoing=DPGaussian(jnp.float32(clip), jnp.float32(0)))
    seen = seen_defended(defence, target=target, requires=frozenset({'classes', 'query_set'}))
    known = dataclasses.replace(convolutional(target), defence=defence if told else None)
    given = np.asarray(scores(small(kind), known, seen, candidates)[0])
    found[clip, told] = float(auc(given, MEMBERS) or 0), np.mean((given > 0) == MEMBERS)
  aware, unaware, undefended = found[0.05, True], found[0.05, False], found[1e6, True]
  assert aware[0] > undefended[0] - 0.03
  assert aware[1] > undefended[1] - 0.05
  assert min(aware[0] - unaware[0], aware[1] - unaware[1]) > -0.02
  assert aware[1] > unaware[1] + 0.05


def test_the_factor_of_a_clip_is_that_of_the_gradient():
  """Estimated under noise, exact without, and 1 where the clip is not reached."""
  random = np.random.default_rng(0)
  mean = jnp.asarray(random.normal(size=5000), jnp.float32)
  whole = mean + 0.3 * jnp.asarray(random.normal(size=5000), jnp.float32)
  size = float(jnp.linalg.norm(whole))
  for clip, multiplier in ((size / 3, 0.0), (size / 3, 0.01), (2 * size, 0.0)):
    mechanism = DPGaussian(clip, multiplier)
    known = dataclasses.replace(convolutional(), defence=Defence(outgoing=mechanism))
    sent = mechanism(jax.random.key(1), whole)
    found = clip_factor(known, sent, sent, mean, solve=lambda x: x)
    assert float(found) == pytest.approx(min(1, clip / size), rel=0.03)
  assert clip_factor(convolutional(), whole, whole, mean, solve=lambda x: x) == 1.0


def test_what_has_no_mean_is_left_as_it_is():
  """Bit for bit: nothing is published to take off."""
  gradient = {'a': jnp.arange(3.0)}
  assert without_mean(convolutional(), gradient) is gradient


def test_the_noise_of_a_sketch():
  """Measured: the filter would be too sure or too shy by as much as this is wrong."""
  short = make_sketch(jax.random.key(0), jnp.array([1.0, 2.0, 0.5, 4.0, 1.0]), size=2)
  noise = jax.random.normal(jax.random.key(1), (20_000, 5))
  measured = np.var(jax.vmap(short)(noise), axis=0)
  np.testing.assert_allclose(short.unit_noise(), measured, rtol=0.05)


def test_each_number_has_a_ridge_of_its_own():
  """Noise is not the same in each."""
  random = np.random.default_rng(0)
  rows, vectors = random.normal(size=(4, 9)), random.normal(size=(2, 9))
  ridge = random.uniform(0.1, 2, size=9)
  expected = np.linalg.solve(rows.T @ rows + np.diag(ridge), vectors.T).T
  with jax.enable_x64(True):
    rows, vectors, ridge = map(jnp.asarray, (rows, vectors, ridge))
    solved = low_rank_plus_diagonal(rows, ridge).solve(vectors)
  np.testing.assert_allclose(solved, expected, rtol=1e-9)


@pytest.mark.parametrize(('sends', 'unit'), [('maml', 1), ('reptile', 0.2), ('delta', -0.2)])
def test_noise_and_clip_are_read_in_the_units_of_the_message(sends, unit):
  """Two steps of 0.1 are read over 0.2: noise on them would pass for a fifth of itself."""
  known = dataclasses.replace(
    convolutional('support'),
    inner=Learner(2, 0.1, sends=sends),
    defence=Defence(outgoing=Gaussian(0.01, 0.03)),
  )
  told = tell(SilentUnits(), known)
  assert variance_sent(told) == pytest.approx((0.01 / unit) ** 2)
  assert without_mean(told, jnp.ones(1)) == pytest.approx(1 - 0.03 / unit)
  clipped = dataclasses.replace(told, defence=Defence(outgoing=DPGaussian(0.5, 2.0)))
  assert clip_of(clipped) == pytest.approx(0.5 / abs(unit))
