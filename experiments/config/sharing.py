"""The operation of a sweep: shares of the cells, processes, savings, leases and failures.

Nothing of this is part of a cell, since no number depends on it.
"""

import os
import re
from typing import NamedTuple

from absl import flags

from experiments.process import bounds, distributed
from experiments.process.bounds import LEASE, LONGEST, Bounds
from mamljax.errors import InputError

_NUM_SHARDS = bounds.integer(
  'num_shards',
  None,
  Bounds(1, 1_000_000, 'tasks'),
  'tasks that share the cells (default: those of a SLURM array, else 1)',
)
_SHARD = bounds.integer(
  'shard',
  None,
  Bounds(0, 999_999),
  'number of this task among those that share the cells, from 0 (default: from SLURM, else 0)',
)
_DISTRIBUTED = flags.DEFINE_enum(
  'distributed',
  'auto',
  distributed.MODES,
  'several processes compute as one; auto: if they were launched so',
)
_SAVE_SECONDS = bounds.real(
  'save_seconds',
  30.0,
  Bounds(0, LONGEST, 'seconds'),
  'seconds between savings inside a cell; 0: after each block of trials',
)
_LEASE_SECONDS = bounds.real(
  'lease_seconds',
  120.0,
  LEASE,
  'seconds without a heartbeat after which a cell is taken from its task',
)
_MAX_FAILURES = bounds.integer(
  'max_failures',
  3,
  Bounds(1, 1_000_000, 'times'),
  'number of failures after which a cell is left alone',
)


class Operation(NamedTuple):
  """The operation of a sweep.

  Attributes:
    num_shards, shard: number of tasks that share the cells, and of this one among them.
    distributed: see `distributed.start`.
    save_seconds: between savings inside a cell.
    lease_seconds: how long a claim lasts without a heartbeat.
    max_failures: how often a cell may fail before it is left alone.
  """

  num_shards: int
  shard: int
  distributed: str
  save_seconds: float
  lease_seconds: float
  max_failures: int

  @property
  def share(self) -> dict[str, int]:
    """The share of this task, as the queue takes it."""
    return {'shard': self.shard, 'num_shards': self.num_shards}


def read() -> Operation:
  """The operation that the flags ask for; shares default to those of a SLURM array.

  Raises:
    InputError: if a number cannot be.
  """
  count, shard = _array()
  count = _NUM_SHARDS.value if _NUM_SHARDS.value is not None else count
  if count < 1:
    raise InputError(f'num_shards must be 1 or more, not {count}')
  # The tasks of an array may be of any numbers; a share that two of them have is a preference.
  shard = _SHARD.value if _SHARD.value is not None else shard % count
  if not 0 <= shard < count:
    raise InputError(f'shard must be in 0..{count - 1} of {count} shards, not {shard}')
  save, lease, most = _SAVE_SECONDS.value, _LEASE_SECONDS.value, _MAX_FAILURES.value
  return Operation(count, shard, _DISTRIBUTED.value, save, lease, most)


def _array() -> tuple[int, int]:
  """The size of the SLURM array of this process, and its place in the array."""
  told = [os.environ.get(f'SLURM_ARRAY_TASK_{name}') for name in ('COUNT', 'ID', 'MIN')]
  if None in told:
    return 1, 0
  count, own, first = (_told(name, 0) for name in ('COUNT', 'ID', 'MIN'))
  return count, (own - first) // _told('STEP', 1)


def _told(name: str, least: int) -> int:
  """A number from the environment that SLURM sets for array tasks; 1 for an unset step."""
  variable = f'SLURM_ARRAY_TASK_{name}'
  text = os.environ.get(variable, '1')
  if not (re.fullmatch('[0-9]{1,18}', text) and int(text) >= least):
    raise InputError(f'{variable}={text} is not a whole number of at least {least}')
  return int(text)
