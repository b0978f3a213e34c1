"""Streams of randomness of a seed, each named once; those of a trial are `audit.trials`'.

`fold_in(key, n)` is the nth key of `split(key)`: two draws from one key that look different may
be the same numbers. So whatever draws from a seed has a stream here. The number of a stream
stands behind every published result, and is never given to another.
"""

import enum

import jax


class Stream(enum.IntEnum):
  """Streams of a seed."""

  INITIALIZATION = 0
  TRAINING = 1
  META_TEST = 2
  PREPARATION = 3
  CALIBRATION = 4
  REPORTED = 5
  RECOVERY = 6
  GRADIENT_ERROR = 7
  RATES = 8  # of Meta-SGD


def stream_key(seed: int, stream: Stream) -> jax.Array:
  """The key of one stream of a seed."""
  return jax.random.fold_in(jax.random.key(seed), Stream(stream))
