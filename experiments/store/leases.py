"""Claims on cells: STORE/claims/<name>.json, created by exactly one task.

A task keeps a claim alive by touching its file. A claim has expired when another task has seen
no touch for the length of a lease, by its own monotonic clock: the dates of files come from the
clock of another machine, which may be wrong by years. A claim expires at once if its holder was
a process of this machine that does not run any more.

A task may be suspended for longer than its lease, and then continue. So each claim bears a
token: only the task that made a claim releases it, and before a task writes shared files it
checks that it still holds its claim (`Claims.check`). A cell that is computed twice costs time
only, since its result is the same.
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

from experiments.store import claims
from experiments.store.claims import Claim
from mamljax.errors import InputError

BEATS = 4  # heartbeats in a lease
PATIENCE = 1.0  # seconds of waiting before a message


class Lost(Exception):
  """Raised when another task took over a claim, after a pause longer than the lease."""


class _Watched(NamedTuple):
  """The state of another task's claim, as last observed."""

  mark: tuple[int, bytes]
  since: float  # first observation of this mark, on this process's clock
  changed: bool  # true if an earlier observation had another mark


class Claims:
  """The claims of this process in a folder.

  A thread touches them, so that no heartbeat waits for a long computation.
  """

  def __init__(self, store_dir: Path, *, lease: float):
    self.folder, self.lease = claims.folder(store_dir), lease
    self._tokens: dict[Path, str] = {}  # of the claims that are held
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
    for path in list(self._tokens):
      self.release(path.stem)

  def take(self, name: str) -> bool:
    """Takes a claim if it is free or has expired; returns whether it did.

    Raises:
      InputError: if the folder cannot be read or written.
    """
    path = self._path(name)
    try:
      return self._make(path) or (self._clear(path) and self._make(path))
    except OSError as error:
      raise InputError(f'cannot write the claim {path}: {error.strerror}') from error

  def release(self, name: str) -> None:
    """Gives a claim back, if it is still held."""
    path = self._path(name)
    token = self._tokens.pop(path, None)
    try:
      if token is not None and claims.token_of(claims.look(path)) == token:
        path.unlink(missing_ok=True)
    except OSError as error:
      details = path, error.strerror, self.lease
      logging.warning('cannot give back the claim %s (%s): it expires in %g s', *details)

  def check(self, name: str) -> None:
    """Checks that a claim is still held.

    Raises:
      Lost: if another task took it over, or its file was deleted.
    """
    path = self._path(name)
    try:
      token = claims.token_of(claims.look(path))
    except OSError as error:
      raise InputError(f'cannot read the claim {path}: {error.strerror}') from error
    if token is None or token != self._tokens.get(path):
      self._tokens.pop(path, None)
      raise Lost(name)

  @contextlib.contextmanager
  def alone(self, name: str) -> Iterator[None]:
    """Context that holds a claim, entered once no other task holds it.

    A warning names the tasks that it waits for.
    """
    start, reported = time.monotonic(), ''
    while not self.take(name):
      holders = ', '.join(self.holders([name])) or 'another task'
      if reported != holders and time.monotonic() - start > PATIENCE:
        reported = holders
        logging.warning('waiting for the %s, written by %s', name, holders)
      time.sleep(0.05)
    with self.held(name):
      yield

  @contextlib.contextmanager
  def held(self, name: str) -> Iterator[None]:
    """Context that gives a taken claim back at its end, also after an exception."""
    try:
      yield
    finally:
      self.release(name)

  def holders(self, names: list[str]) -> list[str]:
    """The holders of the claims on these cells, in words."""
    found = (claims.find(self._path(name)) for name in names)
    return sorted({str(claim.holder) for claim in found if claim and claim.holder})

  def undecided(self, names: list[str]) -> bool:
    """Tests whether the holder of any of these claims may have ended without a trace.

    A heartbeat or the end of the lease decides the question.
    """
    return any(self._is_undecided(self._path(name)) for name in names)

  def _path(self, name: str) -> Path:
    return self.folder / f'{name}.json'

  def _make(self, path: Path) -> bool:
    """Creates the file of a claim unless it exists, and returns whether it did."""
    new = claims.this_process()
    try:
      file = path.open('x', encoding='utf-8')  # atomic on NFS, too
    except FileExistsError:
      return False
    try:
      with file:
        json.dump(new._asdict(), file)
    except OSError:  # a full disk
      path.unlink(missing_ok=True)
      raise
    self._tokens[path] = new.token
    self._watched.pop(path, None)
    return True

  def _clear(self, path: Path) -> bool:
    """Removes an expired claim, and returns whether the place is free.

    Of several tasks that try at the same time, one succeeds.
    """
    claim = claims.look(path)
    if claim is None:
      return True
    if not self._is_over(path, claim):
      return False
    aside = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
    try:
      path.rename(aside)
    except FileNotFoundError:
      return True
    renamed = claims.look(aside)
    if renamed and renamed.mark != claim.mark:  # a newer claim of another task: put back
      with contextlib.suppress(OSError):
        os.link(aside, path)
    aside.unlink(missing_ok=True)
    return True

  def _is_over(self, path: Path, claim: Claim) -> bool:
    """Tests whether a claim has expired."""
    if claim.holder and claims.runs(claim.holder) is False:
      return True
    return time.monotonic() - self._watch(path, claim).since > self.lease

  def _watch(self, path: Path, claim: Claim) -> _Watched:
    """Updates and returns the observed state of another task's claim."""
    earlier = self._watched.get(path)
    if earlier is None or earlier.mark != claim.mark:
      self._watched[path] = _Watched(claim.mark, time.monotonic(), earlier is not None)
    return self._watched[path]

  def _is_undecided(self, path: Path) -> bool:
    claim = claims.find(path)
    if claim is None:
      return True  # free
    is_running = claims.runs(claim.holder) if claim.holder else None
    if is_running is None:
      return not self._watch(path, claim).changed
    return not is_running

  def _beat(self) -> None:
    """Touches the claims that are still held, several times in a lease."""
    while not self._stop.wait(self.lease / BEATS):
      for path, token in list(self._tokens.items()):
        claims.touch(path, token)


class NoClaims(Claims):
  """The claims of a process that follows another one's decisions: it makes none."""

  def __init__(self) -> None:
    self.folder, self._tokens = Path(), {}

  def __enter__(self) -> 'NoClaims':
    return self

  def __exit__(self, *_: object) -> None:
    pass

  def take(self, name: str) -> bool:
    """Takes nothing: the first process has decided."""
    del name
    return False


def _make_folder(path: Path) -> None:
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f'cannot make the folder {path}: {error.strerror}') from error
