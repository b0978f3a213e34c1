"""Sizes of the pools of an audit: whether there are enough images, and how many would be."""

import math
from typing import Any

import numpy as np

from mamljax.data.arrays import FRACTIONS, POOLS
from mamljax.errors import InputError
from mamljax.reports.setup import Setup


def check(data: Any, name: str, *, shots: int, learners: int = 1) -> None:
  """Refuses a pool in which a class has too few images for a trial, of all learners of a sum.

  Raises:
    InputError: with the class, what it has and needs, and how many inputs would be enough.
  """
  needed = 2 * shots * learners + 1
  counts = {pool: np.asarray(getattr(data, pool).counts) for pool in POOLS}
  own = counts[name]
  if own.min() >= needed:
    return
  smallest = int(own.argmin())
  label = getattr(data, 'classes', range(len(own)))[smallest]
  held = ', '.join(f'{counts[pool][smallest]} {pool}' for pool in POOLS)
  # Rounding may take one image from a pool.
  enough = math.ceil((needed + 1) / FRACTIONS[POOLS.index(name)])
  more = f' of {learners} learners' * (learners > 1)
  sets = 'one shot' if shots == 1 else f'{shots} shots'
  raise InputError(
    f'{name} has {images(own[smallest])} of class {label!r}, {needed} are needed: {sets} in '
    f'each of two sets{more} and one that is no member. Of this class there are {held}; '
    f'{enough} inputs of each class are enough for from_arrays'
  )


def images(count: int | np.integer) -> str:
  """A number of images, in words."""
  return f'{count} image' if count == 1 else f'{count} images'


def references(setup: Setup) -> int:
  """The number of public images of each class that the adversary has."""
  pool = setup.knowledge.references
  return 0 if pool is None else int(np.min(np.asarray(pool.counts)))
