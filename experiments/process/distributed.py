"""Several processes as one: JAX's multi-controller runtime, and messages between processes.

Every process runs the same program; each holds the trials of its own devices. The first
process alone reads files, whose content it sends to the others, and it alone writes files.
"""

import os
import sys
import traceback
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from experiments.process import preemption
from mamljax.errors import InputError

SILENCE = 30  # seconds without a heartbeat after which another process counts as lost
MODES = ('auto', 'on', 'off')


def start(mode: str) -> None:
  """Joins the other processes, if there are any; must be called before JAX is used.

  Args:
    mode: 'on', 'off', or 'auto', which means on if a launcher started several processes. JAX
      reads the number of this process from SLURM, Open MPI, a TPU slice, or
      $JAX_COORDINATOR_ADDRESS, $JAX_NUM_PROCESSES and $JAX_PROCESS_ID.

  Raises:
    InputError: if this process runs in a SLURM job without srun, or cannot reach the others.
  """
  if mode == 'off':
    return
  _check_srun()
  if mode == 'auto' and _launched() < 2:
    return
  names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
  address, count, index = (os.environ.get(name) for name in names)
  try:
    jax.distributed.initialize(
      address,
      num_processes=int(count) if count else None,
      process_id=int(index) if index else None,
      heartbeat_timeout_seconds=SILENCE,
    )
  except (RuntimeError, ValueError) as error:
    reason = (str(error) or 'no reason given').splitlines()[0]
    raise InputError(f'cannot join the other processes: {reason}') from error


def abandon(error: BaseException) -> NoReturn:
  """Ends this process at once, and with it the others, which would wait for it forever.

  The launcher then starts all of them again.
  """
  traceback.print_exception(error)
  print('a process of several failed, or lost the others: start them again', file=sys.stderr)
  sys.stderr.flush()
  os._exit(1)


def is_first() -> bool:
  """Tests whether this is the first process, the one that writes."""
  return jax.process_index() == 0


def any_process(flag: bool) -> bool:
  """Tests whether a flag is true in any process."""
  if jax.process_count() == 1:
    return flag
  return bool(np.any(multihost_utils.process_allgather(np.array(flag))))


def asked_to_stop() -> bool:
  """Tests whether any of the processes that compute together was asked to stop.

  All processes must call this equally often. They then stop at the same block; otherwise they
  would wait for each other forever.
  """
  return any_process(preemption.received())


def from_first(data: bytes | None) -> bytes | None:
  """The bytes that the first process passes, in all processes; the others' are ignored."""
  if jax.process_count() == 1:
    return data
  length = -1 if data is None else len(data)
  size = int(multihost_utils.broadcast_one_to_all(np.array(length, np.int32)))
  if size < 0:
    return None
  sent = np.frombuffer(data, np.uint8) if is_first() and data else np.zeros(size, np.uint8)
  return np.asarray(multihost_utils.broadcast_one_to_all(sent)).tobytes() if size else b''


def same(tree: Any) -> Any:
  """A pytree of arrays as the first process holds it, in all of them."""
  if jax.process_count() == 1:
    return tree
  return jax.tree.map(jnp.asarray, multihost_utils.broadcast_one_to_all(tree))


def _launched() -> int:
  """The number of processes that a launcher started, as its environment variables say."""
  names = ('JAX_NUM_PROCESSES', 'OMPI_COMM_WORLD_SIZE')
  counts = [os.environ.get(name, '') for name in names]
  if 'SLURM_STEP_ID' in os.environ:
    counts.append(os.environ.get('SLURM_STEP_NUM_TASKS', ''))
  workers = os.environ.get('TPU_WORKER_HOSTNAMES', '').split(',')
  counts += [os.environ.get('MEGASCALE_NUM_SLICES', ''), str(len(workers))]
  return max(int(count) for count in counts if count.isdecimal())


def _check_srun() -> None:
  """Refuses to run in a SLURM job without srun, where signals and other tasks are missed."""
  job = os.environ.get('SLURM_JOB_ID')
  if job and 'SLURM_STEP_ID' not in os.environ:
    raise InputError(
      f'this is SLURM job {job}, but srun did not start this process: its signals and its '
      'other tasks would be missed; write srun before python (launch/slurm.sbatch does), or '
      'give --distributed=off to run one process as it is'
    )
