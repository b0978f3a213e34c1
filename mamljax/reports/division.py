"""Division of public images: for the attack, for simulated tasks, and to rank among."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from mamljax.audit import conformal
from mamljax.data.dataset import pool_of
from mamljax.errors import InputError
from mamljax.tasks import take_images
from mamljax.types import Pool


class Division(NamedTuple):
  """Shares of the public images of a class; the rest are ranked among.

  Attributes:
    references: the share that the attack learns from.
    simulated: the share that tasks are simulated with.
    least: the fewest images that these need, where any are simulated.
  """

  references: float
  simulated: float
  least: int

  def sizes(self, count: int) -> tuple[int, int]:
    """The numbers of references and of images for simulated tasks, of so many in all."""
    own = max(round(self.references * count), 2)
    return own, max(round(self.simulated * count), self.least) if self.simulated else 0

  def whole(self, nulls: int) -> int:
    """The number of images of which so many are ranked among."""
    counts = itertools.count(nulls)
    return next(count for count in counts if count - sum(self.sizes(count)) >= nulls)


class Parts(NamedTuple):
  """Public images in disjoint parts, with the class of slot c as class c.

  Attributes:
    references: for the attack, equally many of each class.
    simulated: for the tasks on which the attack is chosen.
    nulls: the non-members that candidates are ranked among.
    slots: the slot of each of these.
  """

  references: Pool
  simulated: Pool
  nulls: jax.Array
  slots: np.ndarray


def divide(pool: Pool, rows: Sequence[np.ndarray], division: Division, *, seed: int) -> Parts:
  """Public images in disjoint parts, at random.

  Args:
    pool: the public images.
    rows: the rows of each slot.
    division: how they are divided.
    seed: seed of the division.

  Raises:
    InputError: if a class has too few images.
  """
  random, counts = np.random.default_rng(seed), [len(part) for part in rows]
  own, simulated = division.sizes(min(counts))
  if min(counts) < own + simulated + 1:
    enough = division.whole(1)
    own, simulated = division.sizes(enough)
    tasks = f', {simulated} to simulate tasks with' * (simulated > 0)
    raise InputError(
      f'public images are too few: slot {np.argmin(counts)} has {min(counts)}, at least '
      f'{enough} are needed: {own} for the attack to learn from{tasks}, and the rest to rank '
      f'candidates among'
    )
  mixed = [random.permutation(part) for part in rows]
  ends = own, own + simulated
  nulls, stored = [part[ends[1] :] for part in mixed], np.asarray(pool.images)
  return Parts(
    references=jax.device_put(pool_of(stored, [part[: ends[0]] for part in mixed])),
    simulated=jax.device_put(pool_of(stored, [part[ends[0] : ends[1]] for part in mixed])),
    nulls=take_images(pool, jnp.asarray(np.concatenate(nulls))),
    slots=np.repeat(np.arange(len(nulls)), [len(part) for part in nulls]),
  )


def without_copies(
  pool: Pool, rows: Sequence[np.ndarray], images: jax.Array
) -> list[np.ndarray]:
  """The rows of images that equal no candidate, which is not its own non-member."""
  known = {np.asarray(image).tobytes() for image in images}
  found = []
  for part in rows:
    stored = np.asarray(take_images(pool, jnp.asarray(part)))
    found.append(part[[image.tobytes() not in known for image in stored]])
  return found


def check_callable(parts: Parts, slots: np.ndarray, division: Division, *, fpr: float) -> None:
  """Refuses to ask where no candidate could be called, whatever its score.

  Raises:
    InputError: with the number of images that candidates are ranked among, and that are needed.
  """
  counts, asked = np.bincount(parts.slots)[slots], len(slots)
  if conformal.benjamini_hochberg(1 / (1 + counts), fpr).any():
    return
  have, (together, alone) = counts.max(), needed(asked, fpr)
  more = f', {alone} to call one alone' * (asked > 1)
  most = f' ({division.whole(alone)})' * (asked > 1)
  raise InputError(
    f'public images are too few for fpr={fpr:g}: a candidate is ranked among {have} of its '
    f'class, so that no p-value is below {1 / (1 + have):.3g}. To call all of {asked} '
    f'candidates {together} are needed{more}; with those that an attack is chosen with and '
    f'learns from, {division.whole(together)}{most} public images of each class. Or ask with '
    f'fpr={_above(1 / (1 + have))} or more'
  )


def needed(candidates: int, fpr: float) -> tuple[int, int]:
  """The images to rank among, of each class, that allow to call all candidates, and only one.

  >>> needed(12, 0.05)
  (19, 239)
  """
  levels = fpr, fpr / candidates
  together, alone = (
    next(
      count for count in itertools.count(max(int(1 / level) - 2, 1)) if 1 / (1 + count) <= level
    )
    for level in levels
  )
  return together, alone


def _above(value: float) -> str:
  """A number that is not below another, to two digits."""
  step = 10.0 ** (math.floor(math.log10(value)) - 1)
  return f'{math.ceil(value / step - 1e-9) * step:.2g}'
