"""Identity of the process that holds a claim, and a test of whether that process still runs."""

import os
import socket
import uuid
from pathlib import Path
from typing import NamedTuple


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
