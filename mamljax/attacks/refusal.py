"""Scores that are no decision: what diverged must not look private.

A candidate is not in the span of a gradient of NaN, nor like it in any other way. Said as a
score, that would be the right answer for every non-member, and a model that broke would pass
for one that protects. So such a score is NaN, which no threshold decides.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp

from mamljax.attacks.observation import Candidate, Observation
from mamljax.finite import is_finite

Score = TypeVar('Score', bound=Callable[..., tuple[jax.Array, Any]])


def refuses_divergence(score: Score) -> Score:
  """An attack's `score` that is NaN where w or the received gradient is not finite.

  What is prepared is a `Knowledge`, or has one as its `knowledge`.
  """

  @functools.wraps(score)
  def refusing(
    key: jax.Array,
    prepared: Any,
    observation: Observation,
    candidate: Candidate,
    *,
    options: Any,
  ) -> tuple[jax.Array, Any]:
    found, info = score(key, prepared, observation, candidate, options=options)
    known = getattr(prepared, 'knowledge', prepared)
    told = is_finite((known.params, observation.gradient))
    return jnp.where(told, found, jnp.nan), info

  return cast(Score, refusing)
