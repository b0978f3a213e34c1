"""Who computes which cell: STORE/claims/<name>.json, made by one task and by one alone.

A claim lives as long as its task touches it. One without a sign of life for the length of a
lease has expired, and so has at once one of a process of this machine that is no more. Taking
a cell twice would cost time only: results are written whole, and are the same.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mamljax.errors import InputError

BEATS = 4  # signs of life in a lease


class Holder(NamedTuple):
  """Who holds a claim.

  Attributes:
    host: the machine, for a person.
    machine: what tells it from all others, also from itself before it was started anew.
    process: the process on it.
    born: what tells it from an earlier process of the same number.
    job: its SLURM job, or ''.
  """

  host: str
  machine: str
  process: int
  born: str
  job: str

  def __str__(self) -> str:
    job = f' (SLURM job {self.job})' if self.job else ''
    return f'process {self.process} on {self.host}{job}'


class Claim(NamedTuple):
  """A claim as it is found: who holds it, and the seconds since the last sign of life."""

  holder: Holder | None
  silent: float


class Claims:
  """The claims of this process in a folder.

  Signs of life are given by a thread, so that they do not wait for a long computation.
  """

  def __init__(self, store_dir: Path, *, lease: float):
    self.folder, self.lease = folder(store_dir), lease
    self._held: set[Path] = set()
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
    """Whether the claim was free, or had expired, and is this process's now."""
    path = self.folder / f'{name}.json'
    if self._make(path):
      return True
    return self._clear(path) and self._make(path)

  def release(self, name: str) -> None:
    """Gives it back."""
    path = self.folder / f'{name}.json'
    self._held.discard(path)
    path.unlink(missing_ok=True)

  @contextlib.contextmanager
  def alone(self, name: str) -> Iterator[None]:
    """Holds a claim for as long as it lasts, once its holder has given it back."""
    while not self.take(name):
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
    found = (find(self.folder / f'{name}.json') for name in names)
    return sorted({str(claim.holder) for claim in found if claim and claim.holder})

  def _make(self, path: Path) -> bool:
    """Whether it was not there and now is; exclusive creation is atomic on NFS, too."""
    try:
      with path.open('x') as file:
        json.dump(_this_process()._asdict(), file)
    except FileExistsError:
      return False
    except OSError as error:
      raise InputError(f'cannot write the claim {path}: {error.strerror}') from error
    self._held.add(path)
    return True

  def _clear(self, path: Path) -> bool:
    """Takes an expired claim away; of several that try, one succeeds."""
    claim = find(path)
    if claim is None:
      return True
    if not expired(claim, self.lease):
      return False
    aside = path.with_name(f'.{path.name}.{uuid.uuid4().hex}.tmp')
    try:
      path.rename(aside)
    except FileNotFoundError:
      return True
    renamed = find(aside)
    if renamed and not expired(renamed, self.lease):  # another was quicker: it is theirs
      with contextlib.suppress(OSError):
        os.link(aside, path)
    aside.unlink(missing_ok=True)
    return True

  def _beat(self) -> None:
    while not self._stop.wait(self.lease / BEATS):
      for path in list(self._held):
        _touch(path)


def folder(store_dir: Path) -> Path:
  """Where the claims are."""
  return store_dir / 'claims'


def find(path: Path) -> Claim | None:
  """What a claim's file says; None if there is none (any more)."""
  try:
    silent = _now(path.parent) - path.stat().st_mtime
    text = path.read_text()
  except FileNotFoundError:
    return None
  except OSError as error:
    raise InputError(f'cannot read the claim {path}: {error.strerror}') from error
  try:
    return Claim(Holder(**json.loads(text)), silent)
  except (ValueError, TypeError):
    return Claim(None, silent)  # being written, or its writer died


def expired(claim: Claim, lease: float) -> bool:
  """Whether its cell may be taken."""
  return claim.silent > lease or (claim.holder is not None and _is_dead(claim.holder))


def _touch(path: Path) -> None:
  with contextlib.suppress(OSError):
    os.utime(path)


def _now(folder: Path) -> float:
  """The time on the clock that dates the files of a folder, which may be another machine's."""
  probe = folder / f'.clock.{uuid.uuid4().hex}.tmp'
  try:
    probe.touch()
    return probe.stat().st_mtime
  except OSError:
    return time.time()  # a folder that is only looked at
  finally:
    probe.unlink(missing_ok=True)


def _this_process() -> Holder:
  job = os.environ.get('SLURM_JOB_ID', '')
  return Holder(socket.gethostname(), _machine(), os.getpid(), _born(os.getpid()) or '', job)


def _is_dead(holder: Holder) -> bool:
  """Whether it was a process of this machine that is no more."""
  here = holder.machine and holder.machine == _machine()
  return bool(here and holder.born and _born(holder.process) != holder.born)


def _machine() -> str:
  """The boot of the kernel and the space of process numbers; '' where Linux's are not."""
  try:
    boot = Path('/proc/sys/kernel/random/boot_id').read_text().strip()
    return f'{boot} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return ''


def _born(process: int) -> str | None:
  """When a process was started, in the kernel's ticks; None if it runs no more."""
  try:
    stat = Path(f'/proc/{process}/stat').read_text()
  except OSError:
    return None
  state, *rest = stat.rpartition(')')[2].split()
  return None if state in 'ZX' else rest[18]


def _make_folder(path: Path) -> None:
  try:
    path.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise InputError(f'cannot make the folder {path}: {error.strerror}') from error
