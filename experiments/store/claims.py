"""A claim on a cell, as a file, with the process that holds it."""

import contextlib
import os
import socket
import time
import uuid
from pathlib import Path
from typing import NamedTuple

from experiments.store import records
from mamljax.errors import InputError

_MAX_BYTES = 10_000  # of a claim, as far as it is read


class Holder(NamedTuple):
  """The process that holds a claim.

  Attributes:
    host: name of the machine, for a person.
    machine: identifier of the machine, which changes when it is started anew.
    process: number of the process on the machine.
    born: start time of the process, since its number may have been used before.
    job: number of the SLURM job, or ''.
    token: random identifier of the claim, unlike that of any other claim of the process.
  """

  host: str
  machine: str
  process: int
  born: str
  job: str
  token: str = ''

  def __str__(self) -> str:
    job = f' (SLURM job {self.job})' if self.job else ''
    return f'process {self.process} on {self.host}{job}'


def this_process() -> Holder:
  """The holder of a new claim by the present process."""
  number, job = os.getpid(), os.environ.get('SLURM_JOB_ID', '')
  born, token = _born(number) or '', uuid.uuid4().hex
  return Holder(socket.gethostname(), _machine(), number, born, job, token)


def runs(holder: Holder) -> bool | None:
  """Tests whether a holder runs; None if it is on another machine, so that this is unknown."""
  if not (holder.machine and holder.born and holder.machine == _machine()):
    return None
  return _born(holder.process) == holder.born


def _machine() -> str:
  """The identifiers of the kernel's boot and of the process namespace; '' outside Linux."""
  try:
    boot = Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()
    return f'{boot} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return ''


def _born(process: int) -> str | None:
  """The start time of a process, in the kernel's ticks; None if it does not run any more."""
  try:
    stat = Path(f'/proc/{process}/stat').read_text(encoding='utf-8', errors='replace')
  except OSError:
    return None
  state, *rest = stat.rpartition(')')[2].split()
  return None if state in 'ZX' else rest[18]


class Claim(NamedTuple):
  """A claim as read from its file.

  Attributes:
    holder: the process that holds the claim; None while it writes the file, or after damage.
    mark: the date and content of the file, which change with each heartbeat.
  """

  holder: Holder | None
  mark: tuple[int, bytes]


def folder(store_dir: Path) -> Path:
  """The folder of the claims in a store."""
  return store_dir / 'claims'


def find(path: Path) -> Claim | None:
  """The claim in a file; None if there is no file (any more).

  Raises:
    InputError: if the file cannot be read.
  """
  try:
    return look(path)
  except OSError as error:
    raise InputError(f'cannot read the claim {path}: {error.strerror}') from error


def is_silent(path: Path, claim: Claim, lease: float) -> bool:
  """Tests whether a claim seems to have expired, without waiting for a heartbeat.

  Its date is compared with that of a new file: both come from the clock of the file server.
  """
  has_ended = claim.holder is not None and runs(claim.holder) is False
  return has_ended or abs(_now(path.parent) - claim.mark[0] / 1e9) > lease


def look(path: Path) -> Claim | None:
  """The claim in a file; None if there is no file (any more)."""
  try:
    with path.open('rb') as file:
      date, data = os.fstat(file.fileno()).st_mtime_ns, file.read(_MAX_BYTES)
  except FileNotFoundError:
    return None
  try:
    return Claim(records.parse_json(data, Holder), (date, data))
  except records.Unfit:
    return Claim(None, (date, data))


def touch(path: Path, token: str) -> None:
  """Touches the file of a claim, if this process still holds it."""
  # A file server that fails for a moment is no reason to give up.
  with contextlib.suppress(OSError):
    if token_of(look(path)) == token:
      os.utime(path)


def token_of(claim: Claim | None) -> str | None:
  """The token of a claim; None without a readable holder."""
  return claim.holder.token if claim and claim.holder else None


def _now(folder: Path) -> float:
  """The time on the clock that dates the files of a folder, perhaps that of a file server."""
  probe = folder / f'.clock.{uuid.uuid4().hex}.tmp'
  try:
    probe.touch()
    date = probe.stat().st_mtime
    probe.unlink()
  except OSError:
    return time.time()  # a folder that cannot be written
  return date
