"""Guarantees of Gaussian noise on clipped messages: epsilon and delta, of one round or many.

Two neighbouring sets of tasks move a message, clipped to a norm of C, by at most `adjacency`
allows: 2C where one task is replaced by another ('replace_one'), C where one is added or
removed ('add_or_remove_one'; a task that sends nothing counts as a message of 0). Under noise
of deviation sigma, T rounds, each at parameters that may depend on all earlier ones, are then
told apart no better than N(mu, 1) from N(0, 1), with

    mu = sqrt(T) * sensitivity / sigma

(Gaussian differential privacy: Dong, Roth and Su, 2022), which is exact: some tasks reach it.
It is (epsilon, delta)-differential privacy for every epsilon, with

    delta = Phi(-epsilon / mu + mu / 2) - exp(epsilon) Phi(-epsilon / mu - mu / 2)

(Balle and Wang, 2018). The two terms may agree in all their digits, or overflow. With
u = epsilon / mu - mu / 2, v = u + mu and erfcx(x) = exp(x^2) erfc(x), their exponents cancel:

    delta = exp(-u^2 / 2) (erfcx(u / sqrt 2) - erfcx(v / sqrt 2)) / 2.
"""

import importlib
import math
import sys
from collections.abc import Callable
from typing import cast

import numpy as np
import scipy
from scipy.special import erfcx, log_ndtr, ndtri

from mamljax import checks
from mamljax.errors import InputError

# The distance, in clips, of what two neighbours send.
SENSITIVITY = {'replace_one': 2.0, 'add_or_remove_one': 1.0}

_CLOSE = 1e-5  # mu below which a difference is a derivative, to 11 digits
_FAR = -5.0  # u below which delta is near 1, and erfcx may overflow


def epsilon_of_rounds(
  noise_multiplier: float, *, delta: float, rounds: int, sampling: float, adjacency: str
) -> float:
  """The epsilon that noise on a clipped message guarantees.

  Args:
    noise_multiplier: the deviation of the noise, in clips.
    delta: above 0 and below 1.
    rounds: the number of messages of one task-learner.
    sampling: the probability with which a task-learner takes part in a round, independently of
      all else; below 1 only if nobody learns who does.
    adjacency: the neighbouring relation, 'replace_one' or 'add_or_remove_one'.

  Returns:
    The least epsilon, infinite without noise. For `sampling` below 1 an upper bound, by the
    package dp-accounting.

  Raises:
    InputError: if an argument is none of the above, or dp-accounting is not installed.
  """
  check_delta(delta)
  mu = mu_of_rounds(noise_multiplier, rounds=rounds, adjacency=adjacency)
  if not 0 < sampling <= 1:
    raise InputError(f'sampling must be above 0 and at most 1, not {sampling!r}')
  if sampling == 1 or math.isinf(mu):
    return epsilon_of(mu, delta=delta)
  return _sampled(noise_multiplier, delta, rounds, sampling, adjacency)


def multiplier_of(epsilon: float, *, delta: float, rounds: int, adjacency: str) -> float:
  """The least noise multiplier that guarantees an epsilon; arguments as above.

  Raises:
    InputError: if an argument is none of the above, or no noise guarantees that epsilon.
  """
  check_delta(delta)
  unit = mu_of_rounds(1.0, rounds=rounds, adjacency=adjacency)
  if not 0 <= epsilon < math.inf:
    raise InputError(
      f'an epsilon of {epsilon} cannot be reached: it must be a finite number, 0 or more'
    )
  return unit / mu_of(epsilon, delta=delta)


def mu_of_rounds(noise_multiplier: float, *, rounds: int, adjacency: str) -> float:
  """The mu of Gaussian differential privacy of some rounds; infinite without noise."""
  checks.whole('rounds', rounds, least=1)
  checks.one_of('adjacency', adjacency, SENSITIVITY)
  apart = math.sqrt(rounds) * SENSITIVITY[adjacency]
  return apart / noise_multiplier if noise_multiplier else math.inf


def check_delta(delta: float) -> None:
  """Refuses a delta that is no number above 0 and below 1."""
  if not 0 < delta < 1:
    raise InputError(f'delta must be above 0 and below 1, such as 1e-5, not {delta!r}')


def log_delta(epsilon: float, mu: float) -> float:
  """The logarithm of the least delta at an epsilon of 0 or more, of mu-Gaussian privacy.

  >>> round(math.exp(log_delta(1.0, 1.0)), 6)
  0.126937
  """
  if mu == 0:
    return -math.inf
  u = epsilon / mu - mu / 2
  v = u + mu
  if u < _FAR:
    first, second = log_ndtr(-u), math.log(erfcx(v / 2**0.5) / 2) - u * u / 2
    return float(first + math.log1p(-math.exp(second - first)))
  if mu < _CLOSE:
    middle = (u + v) / 8**0.5
    slope = 2 / math.sqrt(math.pi) - 2 * middle * erfcx(middle)
    apart = slope * mu / 2**0.5
  else:
    apart = erfcx(u / 2**0.5) - erfcx(v / 2**0.5)
  return math.log(apart / 2) - u * u / 2 if apart > 0 else -math.inf


def epsilon_of(mu: float, *, delta: float) -> float:
  """The least epsilon at a delta, of mu-Gaussian differential privacy.

  >>> round(epsilon_of(1.0, delta=1e-5), 4)
  4.3772
  """
  wanted = math.log(delta)
  most = mu * (mu / 2 - float(ndtri(delta)))  # there the first term alone is delta
  if not most < math.inf:
    return math.inf
  if log_delta(0.0, mu) <= wanted:
    return 0.0
  beyond = most * (1 + 1e-9) + sys.float_info.min
  return _root(lambda epsilon: log_delta(epsilon, mu) - wanted, 0.0, beyond)


def mu_of(epsilon: float, *, delta: float) -> float:
  """The greatest mu of Gaussian privacy that is (epsilon, delta)-differential privacy."""
  wanted, quantile = math.log(delta), float(ndtri(delta))
  root = math.hypot(quantile, math.sqrt(2 * epsilon))
  # There the first term alone is delta; of the two forms the one that does not cancel.
  least = quantile + root if quantile >= 0 else 2 * epsilon / (root - quantile)
  least = max(least * (1 - 1e-9), sys.float_info.min)
  most = max(least, float(ndtri((1 + delta) / 2)), delta)
  while log_delta(epsilon, most) <= wanted:
    most *= 2
  found = _root(lambda mu: log_delta(epsilon, mu) - wanted, least, most)
  return found * (1 - 1e-10)  # on the side of more noise


def _root(function: Callable[[float], float], low: float, high: float) -> float:
  """The number between two others at which a function changes its sign."""
  precision = {'xtol': sys.float_info.min, 'rtol': np.float64(1e-13), 'maxiter': 5000}
  return cast(float, scipy.optimize.brentq(function, low, high, **precision))


def _sampled(
  noise_multiplier: float, delta: float, rounds: int, sampling: float, adjacency: str
) -> float:
  """An upper bound of epsilon under Poisson sampling, which has no closed form."""
  try:
    dp = importlib.import_module('dp_accounting')
  except ImportError:
    raise InputError(
      f'the epsilon of sampling={sampling:g} needs the package dp-accounting, an extra: pip '
      f"install 'mamljax[accounting]'; sampling=1.0, for a server that sees who takes part, "
      f'needs nothing'
    ) from None
  accountant = dp.pld.PLDAccountant(dp.NeighboringRelation[adjacency.upper()])
  event = dp.PoissonSampledDpEvent(sampling, dp.GaussianDpEvent(noise_multiplier))
  accountant.compose(dp.SelfComposedDpEvent(event, rounds))
  return float(accountant.get_epsilon(delta))
