"""Who computes which cell: STORE/claims/<name>.json, made by one task and by one alone.

A claim lives as long as its task touches it. It has expired when another has seen no touch for
the length of a lease, by a clock of its own that nobody sets: what the dates of files say is
another machine's word, and may be of any year. It has expired at once if its holder is a
process of this machine that is no more.

A task may stand still for longer than its lease, and go on. So a claim bears a token: it is
given back only by who made it, and who writes for others looks first whether it still holds
(`Claims.check`). Taking a cell twice costs time only: its result is the same.
"""

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from absl import logging

from experiments.store import holder, records
from experiments.store.holder import Holder
from mamljax.errors import InputError

BEATS = 4  # signs of life in a lease
PATIENCE = 1.0  # seconds of waiting that are not worth a word

_LONGEST = 10_000  # bytes of a claim that are read


class Lost(Exception):
  """Another task took over what this one held: it stood still for longer than its lease."""


class Claim(NamedTuple):
  """A claim as it is found.

  Attributes:
    holder: who holds it; None while it is written, or if it is damaged.
    mark: what changes with each sign of life: its date, and all that it says.
  """

  holder: Holder | None
  mark: tuple[int, bytes]


class _Watched(NamedTuple):
  """Another's claim: as it was seen last, since when on this process's clock, and whether it
  changed meanwhile.
  """

  mark: tuple[int, bytes]
  since: float
  changed: bool


class Claims:
  """The claims of this process in a folder.

  Signs of life are given by a thread, so that they do not wait for a long computation.
  """

  def __init__(self, store_dir: Path, *, lease: float):
    self.folder, self.lease = folder(store_dir), lease
    self._held: dict[Path, str] = {}  # the token of each
    self._watched: dict[Path, _Watched] = {}
    self._stop: threading.Event
    self._thread: threading.Thread

  def __enter__(self) -> 'Claims':
    _make_folder(self.folder)
    self._stop = threading.Event()
    self._thread = threading.Thread(target=self._beat, daemon=True)
    self._thread.start()
    return self

  def __exit__(self, *_: object) -> None:
    self._stop.set()
    self._thread.join()
    for path in list(self._held):
      self.release(path.stem)

  def take(self, name: str) -> bool:
    """Whether the claim was free, or had expired, and is this process's now.

    Raises:
      InputError: if the folder cannot be read or written.
    """
    path = self._path(name)
    try:
      return self._make(path) or (self._clear(path) and self._make(path))
    except OSError as error:
      raise InputError(f'cannot write the claim {path}: {error.strerror}') from error

  def release(self, name: str) -> None:
    """Gives it back, if it is still held."""
    path = self._path(name)
    token = self._held.pop(path, None)
    try:
      if token is not None and _token(_look(path)) == token:
        path.unlink(missing_ok=True)
    except OSError as error:
      told = path, error.strerror, self.lease
      logging.warning('cannot give back the claim %s (%s): it expires in %g s', *told)

  def check(self, name: str) -> None:
    """Makes sure that a claim is still held.

    Raises:
      Lost: if another took it over, or somebody deleted it.
    """
    path = self._path(name)
    try:
      token = _token(_look(path))
    except OSError as error:
      raise InputError(f'cannot read the claim {path}: {error.strerror}') from error
    if token is None or token != self._held.get(path):
      self._held.pop(path, None)
      raise Lost(name)

  @contextlib.contextmanager
  def alone(self, name: str) -> Iterator[None]:
    """Holds a claim for as long as it lasts, once its holder has given it back.

    Says for whom it waits.
    """
    begun, told = time.monotonic(), ''
    while not self.take(name):
      holders = ', '.join(self.holders([name])) or 'another task'
      if told != holders and time.monotonic() - begun > PATIENCE:
        told = holders
        logging.warning('waiting for the %s, written by %s', name, holders)
      time.sleep(0.05)
    with self.held(name):
      yield

  @contextlib.contextmanager
  def held(self, name: str) -> Iterator[None]:
    """Gives back what was taken when it is left, whatever ends it."""
    try:
      yield
    finally:
      self.release(name)

  def holders(self, names: list[str]) -> list[str]:
    """Who computes these cells, in words."""
    found = (find(self._path(name)) for name in names)
    return sorted({str(claim.holder) for claim in found if claim and claim.holder})

  def undecided(self, names: list[str]) -> bool:
    """Whether any of these claims may be of a task that is no more: nothing was seen of it yet.

    A sign of life, or the end of the lease, will tell.
    """
    return any(self._is_undecided(self._path(name)) for name in names)

  def _path(self, name: str) -> Path:
    return self.folder / f'{name}.json'

  def _make(self, path: Path) -> bool:
    """Whether it was not there and now is; exclusive creation is atomic on NFS, too."""
    own = holder.this_process()
    try:
      file = path.open('x', encoding='utf-8')
    except FileExistsError:
      return False
    try:
      with file:
        json.dump(own._asdict(), file)
    except OSError:  # a full disk
      path.unlink(missing_ok=True)
      raise
    self._held[path] = own.token
    self._watched.pop(path, None)
    return True

  def _clear(self, path: Path) -> bool:
    """Takes an expired claim away; of several that try, one succeeds."""
    claim = _look(path)
    if claim is None:
      return True
    if not self._is_over(path, claim):
      return False
    aside = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
    try:
      path.rename(aside)
    except FileNotFoundError:
      return True
    renamed = _look(aside)
    if renamed and renamed.mark != claim.mark:  # another was quicker: it is theirs
      with contextlib.suppress(OSError):
        os.link(aside, path)
    aside.unlink(missing_ok=True)
    return True

  def _is_over(self, path: Path, claim: Claim) -> bool:
    """Whether a claim has expired."""
    if claim.holder and holder.runs(claim.holder) is False:
      return True
    return time.monotonic() - self._watch(path, claim).since > self.lease

  def _watch(self, path: Path, claim: Claim) -> _Watched:
    """A claim of another's, and since when it has not changed."""
    before = self._watched.get(path)
    if before is None or before.mark != claim.mark:
      self._watched[path] = _Watched(claim.mark, time.monotonic(), before is not None)
    return self._watched[path]

  def _is_undecided(self, path: Path) -> bool:
    claim = find(path)
    if claim is None:
      return True  # free
    here = holder.runs(claim.holder) if claim.holder else None
    return here is False or (here is None and not self._watch(path, claim).changed)

  def _beat(self) -> None:
    """Gives signs of life, of what is still held."""
    while not self._stop.wait(self.lease / BEATS):
      for path, token in list(self._held.items()):
        _touch(path, token)


def folder(store_dir: Path) -> Path:
  """Where the claims are."""
  return store_dir / 'claims'


def find(path: Path) -> Claim | None:
  """What a claim's file says; None if there is none (any more).

  Raises:
    InputError: if it cannot be read.
  """
  try:
    return _look(path)
  except OSError as error:
    raise InputError(f'cannot read the claim {path}: {error.strerror}') from error


def is_silent(path: Path, claim: Claim, lease: float) -> bool:
  """Whether a claim looks as if it had expired, to who has no time to wait for a touch.

  Its date is compared with that of a new file: both are of the clock of the file server.
  """
  dead = claim.holder is not None and holder.runs(claim.holder) is False
  return dead or abs(_now(path.parent) - claim.mark[0] / 1e9) > lease


def _look(path: Path) -> Claim | None:
  try:
    with path.open('rb') as file:
      date, data = os.fstat(file.fileno()).st_mtime_ns, file.read(_LONGEST)
  except FileNotFoundError:
    return None
  try:
    return Claim(records.parse_json(data, Holder), (date, data))
  except records.Unfit:
    return Claim(None, (date, data))


def _touch(path: Path, token: str) -> None:
  """Gives a sign of life, of a claim that is still held."""
  # A moment's trouble with a file server is no reason to give up.
  with contextlib.suppress(OSError):
    if _token(_look(path)) == token:
      os.utime(path)


def _token(claim: Claim | None) -> str | None:
  return claim.holder.token if claim and claim.holder else None


def _now(folder: Path) -> float:
  """The time on the clock that dates the files of a folder, which may be another machine's."""
  probe = folder / f'.clock.{uuid.uuid4().hex}.tmp'
  try:
    probe.touch()
    date = probe.stat().st_mtime
    probe.unlink()
  except OSError:
    return time.time()  # a folder that can only be looked at
  return date


def _make_folder(path: Path) -> None:
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f'cannot make the folder {path}: {error.strerror}') from error
