"""A process that holds a claim: what tells it from all others, and whether it runs."""

import os
import socket
import uuid
from pathlib import Path
from typing import NamedTuple


class Holder(NamedTuple):
  """Who holds a claim.

  Attributes:
    host: the machine, for a person.
    machine: what tells it from all others, also from itself before it was started anew.
    process: the process on it.
    born: what tells it from an earlier process of the same number.
    job: its SLURM job, or ''.
    token: what tells this claim from all others, of the same process too.
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
  """This process, as the holder of a new claim."""
  own, job = os.getpid(), os.environ.get('SLURM_JOB_ID', '')
  return Holder(socket.gethostname(), _machine(), own, _born(own) or '', job, uuid.uuid4().hex)


def runs(holder: Holder) -> bool | None:
  """Whether a holder runs; None if it is of another machine, so that nobody here can tell."""
  if not (holder.machine and holder.born and holder.machine == _machine()):
    return None
  return _born(holder.process) == holder.born


def _machine() -> str:
  """The boot of the kernel and the space of process numbers; '' where Linux's are not."""
  try:
    boot = Path('/proc/sys/kernel/random/boot_id').read_text(encoding='ascii').strip()
    return f'{boot} {os.readlink("/proc/self/ns/pid")}'
  except OSError:
    return ''


def _born(process: int) -> str | None:
  """When a process was started, in the kernel's ticks; None if it runs no more."""
  try:
    stat = Path(f'/proc/{process}/stat').read_text(encoding='utf-8', errors='replace')
  except OSError:
    return None
  state, *rest = stat.rpartition(')')[2].split()
  return None if state in 'ZX' else rest[18]
