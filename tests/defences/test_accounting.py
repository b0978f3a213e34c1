"""Epsilon and delta of Gaussian noise: the divergence integrated, known values, and laws."""

import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate
from scipy.stats import norm

from mamljax.defences import DPGaussian
from mamljax.defences.accounting import SENSITIVITY, epsilon_of, log_delta, mu_of
from mamljax.errors import InputError

MUS = [0.01, 0.3, 1.0, 2.0, 5.0]
deltas = st.floats(1e-12, 0.5)
multipliers = st.floats(0.05, 1e3)
adjacencies = st.sampled_from([*SENSITIVITY])


def integrated(epsilon: float, mu: float) -> float:
  """The hockey-stick divergence of N(mu, 1) from N(0, 1), by quadrature."""
  start = epsilon / mu + mu / 2  # where one density is exp(epsilon) times the other

  def excess(x: float) -> float:
    return float(norm.pdf(x, mu) - math.exp(epsilon) * norm.pdf(x))

  return integrate.quad(excess, start, start + 40, epsabs=0, epsrel=1e-10, limit=500)[0]


@pytest.mark.parametrize('mu', MUS)
@pytest.mark.parametrize('ratio', [0.0, 0.5, 2.0, 5.0])
def test_delta_is_the_divergence_of_what_neighbours_send(mu, ratio):
  """By its definition: else the whole account is of another mechanism."""
  epsilon = ratio * mu
  assert math.exp(log_delta(epsilon, mu)) == pytest.approx(integrated(epsilon, mu), rel=1e-8)


@pytest.mark.parametrize(
  ('mu', 'delta', 'epsilon'),
  [(1.0, 1e-5, 4.377178), (2.0, 1e-5, 9.997256), (1.0, 0.126936737507, 1.0)],
)
def test_known_values(mu, delta, epsilon):
  """Of other accountants, and of the formula worked out by hand."""
  assert epsilon_of(mu, delta=delta) == pytest.approx(epsilon, abs=2e-6)


def test_a_multiplier_counts_from_the_distance_of_neighbours():
  """Replacing a task moves a message twice as far as leaving it out; the default says more."""
  replaced, left_out = DPGaussian(0.1, 2.0), DPGaussian(7.0, 1.0)
  known = epsilon_of(1.0, delta=1e-5)
  assert replaced.epsilon(1e-5) == pytest.approx(known)
  assert left_out.epsilon(1e-5, adjacency='add_or_remove_one') == pytest.approx(known)


@pytest.mark.parametrize('mu', [1e-15, 1e-10, 1e-6, 1e-5 * (1 - 1e-9), 1e-5, 1e-3])
def test_hardly_any_difference_keeps_its_digits(mu):
  """The two terms agree in all digits but the last: naively, delta would be 0 or worse."""
  t = 2.0  # delta / mu tends to phi(t) - t Phi(-t)
  limit = norm.pdf(t) - t * norm.sf(t)
  assert math.exp(log_delta(t * mu, mu)) / mu == pytest.approx(limit, rel=max(1e-9, 2 * mu))


@pytest.mark.parametrize('mu', [30.0, 1e3, 1e6, 1e9])
def test_hardly_any_noise_does_not_overflow(mu):
  """Of so little noise epsilon is mu^2 / 2 and a few mu more; exp(epsilon) is infinite."""
  found = epsilon_of(mu, delta=1e-5)
  assert mu**2 / 2 < found <= mu**2 / 2 - mu * norm.ppf(1e-5) + 1e-6 * mu**2


@settings(deadline=None)
@given(multipliers, deltas, adjacencies, st.integers(1, 1000))
def test_more_noise_a_greater_delta_and_fewer_rounds_never_weaken(z, delta, adjacency, rounds):
  """A guarantee that did not grow with what is spent on it would be wrong somewhere."""

  def epsilon(z: float, delta: float, rounds: int) -> float:
    return DPGaussian(1.0, z).epsilon(delta, rounds=rounds, adjacency=adjacency)

  most = epsilon(z, delta, rounds) * (1 + 1e-9) + 1e-300
  assert epsilon(1.1 * z, delta, rounds) <= most
  assert epsilon(z, min(1.1 * delta, 0.9), rounds) <= most
  assert epsilon(z, delta, max(rounds // 2, 1)) <= most


@settings(deadline=None)
@given(multipliers, deltas, adjacencies, st.integers(1, 10_000))
def test_rounds_compose_as_one_with_less_noise(z, delta, adjacency, rounds):
  """T rounds tell as much as one whose noise has a T-th of the variance, and no more."""
  many = DPGaussian(1.0, z).epsilon(delta, rounds=rounds, adjacency=adjacency)
  one = DPGaussian(1.0, z / math.sqrt(rounds)).epsilon(delta, adjacency=adjacency)
  assert many == pytest.approx(one, rel=1e-9)


@settings(deadline=None)
@given(st.floats(1e-3, 100), deltas, adjacencies, st.integers(1, 100))
def test_calibrated_noise_gives_what_was_asked_and_no_more(epsilon, delta, adjacency, rounds):
  """More noise costs accuracy; less would be no guarantee at all."""
  asked = {'delta': delta, 'rounds': rounds, 'adjacency': adjacency}
  found = DPGaussian.calibrated(0.5, epsilon=epsilon, **asked).epsilon(**asked)
  assert found <= epsilon
  assert found == pytest.approx(epsilon, rel=1e-6)


@settings(deadline=None)
@given(st.floats(1e-3, 1e3), deltas)
def test_mu_and_epsilon_are_inverse(mu, delta):
  """Two solvers of one equation."""
  epsilon = epsilon_of(mu, delta=delta)
  if epsilon > 0:
    assert mu_of(epsilon, delta=delta) == pytest.approx(mu, rel=1e-6)


def test_an_epsilon_of_zero_leaves_delta_alone():
  """Total variation: then delta is what neighbours are told apart by."""
  mechanism = DPGaussian.calibrated(1.0, epsilon=0.0, delta=0.1)
  assert mechanism.epsilon(0.1) == 0
  assert 2 * norm.cdf(1 / mechanism.noise_multiplier) - 1 == pytest.approx(0.1, rel=1e-6)


def test_without_noise_there_is_no_bound():
  """A clip alone hides one number of a gradient."""
  clip = DPGaussian(1.0, 0.0)
  assert clip.epsilon(1e-5) == clip.epsilon(1e-5, sampling=0.1, rounds=10) == math.inf


BAD = [
  ({'delta': 0}, 'delta must be above 0 and below 1, such as 1e-5, not 0'),
  ({'delta': 1}, 'delta must be above 0 and below 1, such as 1e-5, not 1'),
  ({'delta': math.nan}, 'delta must be above 0 and below 1, such as 1e-5, not nan'),
  ({'rounds': 0}, 'rounds must be 1 or more, not 0'),
  ({'rounds': 1.5}, 'rounds must be a whole number, not 1.5'),
  ({'adjacency': 'replace'}, "unknown adjacency 'replace': did you mean 'replace_one'?"),
]


@pytest.mark.parametrize(('wrong', 'message'), BAD)
def test_what_no_guarantee_can_be_of_is_met_with_one_line(wrong, message):
  """In both directions: a number for what has none would be believed."""
  for ask in (
    lambda delta, **options: DPGaussian(1.0, 1.0).epsilon(delta, **options),
    lambda delta, **o: DPGaussian.calibrated(1.0, epsilon=1.0, delta=delta, **o),
  ):
    with pytest.raises(InputError) as caught:
      ask(**({'delta': 1e-5} | wrong))
    assert str(caught.value).startswith(message)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('sampling', [0, -0.1, 1.5, math.nan])
def test_a_share_of_rounds_is_a_probability(sampling):
  """1.5 would pass for amplification of privacy."""
  with pytest.raises(InputError, match='sampling must be above 0 and at most 1, not'):
    DPGaussian(1.0, 1.0).epsilon(1e-5, sampling=sampling)


@pytest.mark.parametrize('epsilon', [-0.1, math.inf, math.nan])
def test_an_epsilon_that_cannot_be_reached_is_refused(epsilon):
  """An infinite one asks for no noise, and calls that a guarantee."""
  with pytest.raises(InputError, match=r'an epsilon of .* cannot be reached'):
    DPGaussian.calibrated(1.0, epsilon=epsilon, delta=1e-5)


def test_noise_that_cannot_be_drawn_is_refused():
  """It would be infinite, and what is sent NaN."""
  with pytest.raises(InputError, match='epsilon of 0 at delta 1e-300 cannot be reached: its n'):
    DPGaussian.calibrated(1.0, epsilon=0.0, delta=1e-300)


def test_sampling_names_the_package_that_it_needs(monkeypatch):
  """An extra, since it pins old versions of common packages."""
  monkeypatch.setitem(__import__('sys').modules, 'dp_accounting', None)
  with pytest.raises(InputError, match=r"needs the package dp-accounting.*'mamljax\[accoun"):
    DPGaussian(1.0, 1.0).epsilon(1e-5, sampling=0.1)


@pytest.mark.skipif(
  importlib.util.find_spec('dp_accounting') is None, reason='dp-accounting is in no lock'
)
@pytest.mark.parametrize('adjacency', SENSITIVITY)
def test_the_extra_agrees_where_both_apply(adjacency):
  """Its numerical account at a sampling of nearly 1 tends to the closed form."""
  mechanism, options = DPGaussian(1.0, 3.0), {'rounds': 10, 'adjacency': adjacency}
  closed = mechanism.epsilon(1e-5, **options)
  sampled = [mechanism.epsilon(1e-5, sampling=q, **options) for q in (0.1, 0.5, 1 - 1e-9)]
  assert sampled[-1] == pytest.approx(closed, rel=1e-3)
  assert np.all(np.diff(sampled) > 0)
