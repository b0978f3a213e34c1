"""A cell that is not finished: STORE/progress/<hash>_<stream>.npz, the trials played so far.

A cell that is taken up again goes on behind them, at the beginning of a chunk, so that every
trial is computed in the same place of the same arithmetic as without the interruption.
"""

import dataclasses
import io
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from experiments.process import distributed, preemption
from experiments.store import records
from mamljax import atomic
from mamljax.audit.trials import Played
from mamljax.errors import InputError

EXAMPLES = 8  # trials that are kept as pictures


# What a file of progress holds.
_OF_TRIALS = ('scores', 'located', 'labels_right')
_NUMBERS = ('seconds', 'compile_seconds', 'memory_bytes')
_KEPT = {
  'scores': records.Array('f', 1),
  'located': records.Array('b', 1),
  'labels_right': records.Array('fiu', 1, optional=True),
  'pictures': records.Array('f', 4, optional=True),
  'candidates': records.Array('f', 4),
  **{name: records.Array('fiu', 0) for name in _NUMBERS},
  'stamp': records.Array('U', 0),
}


class Block(NamedTuple):
  """Trials computed in one call, or several such joined.

  Attributes:
    played: what came out of each trial; pictures of the first `EXAMPLES` at least.
    candidates: the images asked about [n, height, width, channels], of these at least.
    seconds, compile_seconds: what it took.
    memory_bytes: what the attack needs on each device, its arguments and results included.
  """

  played: Played
  candidates: np.ndarray
  seconds: float
  compile_seconds: float
  memory_bytes: float = 0.0


def join(blocks: Sequence[Block]) -> Block:
  """One block of the trials of all; pictures of the first `EXAMPLES` only."""
  played = [block.played for block in blocks]
  return Block(
    Played(
      np.concatenate([part.scores for part in played]),
      np.concatenate([part.located for part in played]),
      _first([part.pictures for part in played]),
      _concatenate([part.labels_right for part in played]),
    ),
    np.concatenate([block.candidates[:EXAMPLES] for block in blocks])[:EXAMPLES],
    sum(block.seconds for block in blocks),
    sum(block.compile_seconds for block in blocks),
    max(block.memory_bytes for block in blocks),
  )


def progress_folder(store_dir: Path) -> Path:
  """Where it is kept."""
  return store_dir / 'progress'


def forget_trials(store_dir: Path, name: str) -> None:
  """Deletes what was kept of the cell of this hash: it is finished."""
  for path in progress_folder(store_dir).glob(f'{name}_*.npz'):
    atomic.remove(path)


def count_trials(store_dir: Path, name: str) -> int:
  """How many trials are kept of the cell of this hash; of a combined attack, none are told."""
  return sum(map(_trials, progress_folder(store_dir).glob(f'{name}_[0-9]*.npz')))


@dataclasses.dataclass
class Keeper:
  """Keeps what is played of one cell, and ends it where the process is asked to stop.

  Attributes:
    folder: STORE/progress.
    name: the hash of the cell.
    stamp: what the trials depend on beside it; what was kept under another is not used.
    every: seconds between two savings; 0 saves after each block.
  """

  folder: Path
  name: str
  stamp: str
  every: float = 30.0
  saved: float = dataclasses.field(default_factory=time.monotonic)

  def load(self, stream: int) -> list[Block]:
    """What was kept of a phase: a block, or nothing."""
    data = distributed.from_first(self._read(stream) if distributed.is_first() else None)
    if data is None:
      return []
    try:
      block, stamp = _unpack(data)
    except records.Unfit as error:
      logging.warning('%s is of another version (%s): played again', self._path(stream), error)
      return []
    if stamp != self.stamp:
      logging.warning('%s is of other code or devices: played again', self._path(stream))
      return []
    return [block]

  def keep(self, stream: int, blocks: Sequence[Block]) -> list[Block]:
    """The blocks of a phase joined; saved, if it is time to.

    Raises:
      Interrupted: if the process was asked to stop; all of them are saved.
    """
    joined, stop = join(blocks), distributed.asked_to_stop()
    if stop or time.monotonic() - self.saved >= self.every:
      if distributed.is_first():
        atomic.write_sealed(self._path(stream), _pack(joined, self.stamp), private=True)
      self.saved = time.monotonic()
    if stop:
      raise preemption.Interrupted
    return [joined]

  def _path(self, stream: int) -> Path:
    return self.folder / f'{self.name}_{stream}.npz'

  def _read(self, stream: int) -> bytes | None:
    path = self._path(stream)
    try:
      return atomic.read_sealed(path)
    except FileNotFoundError:
      return None
    except atomic.DamagedFile as error:
      aside = atomic.set_aside(path)
      logging.warning('%s: set aside as %s, and played again', error, aside.name)
      return None
    except OSError as error:
      raise InputError(f'cannot read {path}: {error.strerror}') from error


def _trials(path: Path) -> int:
  """The trials in a file; none if it is gone or damaged."""
  try:
    block, _ = _unpack(atomic.read_sealed(path))
  except (OSError, InputError, records.Unfit):
    return 0
  return len(block.played.scores)


def _first(parts: Sequence[Any]) -> np.ndarray | None:
  """The first `EXAMPLES` rows of some arrays, or None if they are none."""
  whole = _concatenate([part[:EXAMPLES] if part is not None else None for part in parts])
  return None if whole is None else whole[:EXAMPLES]


def _concatenate(parts: Sequence[Any]) -> np.ndarray | None:
  there = [part for part in parts if part is not None]
  return np.concatenate(there) if there else None


def _pack(block: Block, stamp: str) -> bytes:
  """A block as the bytes of an .npz; what is None is left out."""
  fields = block._asdict() | block.played._asdict() | {'stamp': stamp}
  del fields['played']
  there: dict[str, Any] = {k: v for k, v in fields.items() if v is not None}
  np.savez(data := io.BytesIO(), **there)
  return data.getvalue()


def _unpack(data: bytes) -> tuple[Block, str]:
  """The block again, and its stamp.

  Raises:
    Unfit: if it is none.
  """
  fields: dict[str, Any] = records.load_arrays(data, _KEPT)
  played = Played(*(fields[name] for name in Played._fields))
  lengths = {len(fields[name]) for name in _OF_TRIALS if fields[name] is not None}
  numbers = [float(fields[name]) for name in _NUMBERS]
  if len(lengths) > 1 or not all(map(math.isfinite, numbers)):
    raise records.Unfit(f'{sorted(lengths)} trials that took {numbers}')
  return Block(played, fields['candidates'], *numbers), str(fields['stamp'])
