"""Trials of an unfinished cell, saved for resumption: STORE/progress/<hash>_<stream>.npz.

A cell that is resumed continues behind its saved trials, at the beginning of a chunk, so that
each trial is computed by the same arithmetic as without the interruption.
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
    played: the outcome of each trial, with pictures of the first `EXAMPLES` trials at least.
    candidates: the candidate images [n, height, width, channels] of those trials at least.
    seconds: time of the computation.
    compile_seconds: time of the compilation.
    memory_bytes: memory of the attack on each device, with its arguments and results.
  """

  played: Played
  candidates: np.ndarray
  seconds: float
  compile_seconds: float
  memory_bytes: float = 0.0


def join(blocks: Sequence[Block]) -> Block:
  """One block with the trials of all blocks, and pictures of the first `EXAMPLES` trials."""
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
  """The folder of the saved trials in a store."""
  return store_dir / 'progress'


def forget_trials(store_dir: Path, name: str) -> None:
  """Deletes the saved trials of the cell of this hash, once the cell is finished."""
  for path in progress_folder(store_dir).glob(f'{name}_*.npz'):
    atomic.remove(path)


def count_trials(store_dir: Path, name: str) -> int:
  """The number of saved trials of the cell of this hash; 0 for a combined attack."""
  return sum(map(_trials, progress_folder(store_dir).glob(f'{name}_[0-9]*.npz')))


@dataclasses.dataclass
class Keeper:
  """Saves the played trials of one cell, and interrupts it if the process is asked to stop.

  Attributes:
    folder: STORE/progress.
    name: the hash of the cell.
    stamp: everything else that the trials depend on; trials with another stamp are not used.
    every: seconds between two savings; 0 saves after each block.
    saved: time of the last saving, on the monotonic clock.
  """

  folder: Path
  name: str
  stamp: str
  every: float = 30.0
  saved: float = dataclasses.field(default_factory=time.monotonic)

  def load(self, stream: int) -> list[Block]:
    """The saved trials of a phase, as a list of one block or none."""
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
    """The joined blocks of a phase, which are saved if the time has come.

    Raises:
      Interrupted: if the process was asked to stop; the blocks are saved before.
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
  """The number of trials in a file; 0 if the file is missing or damaged."""
  try:
    block, _ = _unpack(atomic.read_sealed(path))
  except (OSError, InputError, records.Unfit):
    return 0
  return len(block.played.scores)


def _first(parts: Sequence[Any]) -> np.ndarray | None:
  """The first `EXAMPLES` rows of some arrays together, or None if there is no array."""
  joined = _concatenate([part[:EXAMPLES] if part is not None else None for part in parts])
  return None if joined is None else joined[:EXAMPLES]


def _concatenate(parts: Sequence[Any]) -> np.ndarray | None:
  """The rows of the arrays that are not None, or None if there is no array."""
  arrays = [part for part in parts if part is not None]
  return np.concatenate(arrays) if arrays else None


def _pack(block: Block, stamp: str) -> bytes:
  """The bytes of an .npz file with a block, without the fields that are None."""
  fields = block._asdict() | block.played._asdict() | {'stamp': stamp}
  del fields['played']
  arrays: dict[str, Any] = {k: v for k, v in fields.items() if v is not None}
  np.savez(data := io.BytesIO(), **arrays)
  return data.getvalue()


def _unpack(data: bytes) -> tuple[Block, str]:
  """The block in the bytes of an .npz file, and its stamp.

  Raises:
    Unfit: if the file does not hold a block.
  """
  fields: dict[str, Any] = records.load_arrays(data, _KEPT)
  played = Played(*(fields[name] for name in Played._fields))
  lengths = {len(fields[name]) for name in _OF_TRIALS if fields[name] is not None}
  numbers = [float(fields[name]) for name in _NUMBERS]
  if len(lengths) > 1 or not all(map(math.isfinite, numbers)):
    raise records.Unfit(f'{sorted(lengths)} trials that took {numbers}')
  return Block(played, fields['candidates'], *numbers), str(fields['stamp'])
