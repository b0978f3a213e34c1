"""Scores on disk, from which an interrupted audit goes on.

A folder holds a file for each attack and phase, named by the attack and a fingerprint of all
that its scores depend on, so that a changed configuration never finds them. A file holds the
scores of the first so many trials, and is replaced, whole, after each block.
"""

import math
import os
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mamljax.data import npz
from mamljax.errors import InputError


class Kept(NamedTuple):
  """Scores of the first trials of a phase.

  Attributes:
    scores: [n].
    seconds: the time that they took.
  """

  scores: np.ndarray
  seconds: float


_PAUSE = 1.0  # seconds between two writings of a file that grows
NOTHING = Kept(np.zeros(0, np.float32), 0.0)


class Store:
  """Scores of attacks, by fingerprint; in memory alone where there is no folder."""

  def __init__(self, folder: str | os.PathLike[str] | None):
    self._folder = None if folder is None else Path(folder)
    if self._folder is not None and self._folder.exists() and not self._folder.is_dir():
      raise InputError(f'store={str(folder)!r} must be a folder, and is a file')
    self._kept: dict[str, Kept] = {}
    self._written: dict[str, float] = {}  # when, by name

  def load(self, name: str) -> Kept:
    """The scores that are kept under a name; none if its file is absent or damaged."""
    if name not in self._kept:
      self._kept[name] = self._read(name)
    return self._kept[name]

  def add(
    self,
    name: str,
    start: int,
    scores: np.ndarray,
    seconds: float,
    *,
    is_urgent: bool = True,
  ) -> None:
    """Adds the scores of the trials from `start` on, in place of what is kept of them.

    Args:
      name: of the scores.
      start: the number of the first trial.
      scores: of the trials from there on.
      seconds: the time that they took.
      is_urgent: False if more of that name will soon be added: then they are written only where
        a second has passed since the last time.

    Raises:
      InputError: if the folder cannot be written.
    """
    kept = self.load(name)
    joined = np.concatenate([kept.scores[:start], scores])
    self._kept[name] = kept = Kept(joined, kept.seconds + seconds)
    now = time.monotonic()
    is_due = is_urgent or now > self._written.get(name, -math.inf) + _PAUSE
    if self._folder is not None and is_due:
      self._written[name] = now
      arrays = {'scores': kept.scores, 'seconds': np.array(kept.seconds)}
      npz.write(self._folder / f'{name}.npz', compress=False, **arrays)

  def _read(self, name: str) -> Kept:
    if self._folder is None:
      return NOTHING
    path = self._folder / f'{name}.npz'
    if not path.exists():
      return NOTHING
    try:
      scores, seconds = npz.read(path, keys=('scores', 'seconds'))
    except InputError:  # damaged: played again, and replaced
      return NOTHING
    return Kept(scores, float(seconds))
