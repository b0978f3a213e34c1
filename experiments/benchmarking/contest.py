"""Contestants in processes of their own, run in turn, round after round, and compared.

The machine is never quiet, and what disturbs one round disturbs the contestants of that round
alike: they are compared within a round, and the median over rounds is what is reported.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

ROOT = Path(__file__).parents[2]


class Sample(NamedTuple):
  """Seconds of one run: on the clock, and of all the process's threads together."""

  wall: float
  cpu: float


class Entry(NamedTuple):
  """How a contestant is started.

  Attributes:
    name: what it is called.
    module: what `python -m` runs; it must call `serving.serve`.
    arguments: on its command line.
    cores: how many it may use.
  """

  name: str
  module: str
  arguments: tuple[str, ...]
  cores: int = 1


class Outcome(NamedTuple):
  """What came out of a contestant: its facts, and a sample for each round."""

  facts: dict[str, Any]
  samples: list[Sample]


class Interval(NamedTuple):
  """A median over rounds with its 95 % interval; None where there are too few rounds."""

  median: float
  low: float | None
  high: float | None


def compete(
  entries: Sequence[Entry], *, rounds: int, advance: Callable[[], Any]
) -> dict[str, Outcome]:
  """Prepares the contestants one after the other, then lets each run once in every round.

  Args:
    entries: in the order in which they run.
    rounds: how many.
    advance: called after each contestant's preparation and after each round.

  Raises:
    RuntimeError: if a contestant ends; what it said stands on standard error.
  """
  with contextlib.ExitStack() as stack:
    processes, outcomes = {}, {}
    for entry in entries:
      process = processes[entry.name] = stack.enter_context(_started(entry))
      outcomes[entry.name] = Outcome(_read(process, entry.name), [])
      advance()
    _run_rounds(processes, outcomes, rounds, advance)
  return outcomes


def _run_rounds(
  processes: Mapping[str, subprocess.Popen[str]],
  outcomes: Mapping[str, Outcome],
  rounds: int,
  advance: Callable[[], Any],
) -> None:
  """Adds a sample to each outcome in every round."""
  for _ in range(rounds):
    for name, process in processes.items():
      outcomes[name].samples.append(_run(process, name))
    advance()


def usable_cores() -> list[int]:
  """The cores that this process may use; the last are given away first."""
  return sorted(os.sched_getaffinity(0), reverse=True)


@contextlib.contextmanager
def _started(entry: Entry) -> Iterator[subprocess.Popen[str]]:
  """The process, bound to its cores before it starts a thread; ended afterwards."""
  threads = {name: str(entry.cores) for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')}
  usable = os.sched_getaffinity(0)
  os.sched_setaffinity(0, usable_cores()[: entry.cores])  # a child inherits it
  try:
    process = subprocess.Popen(
      [sys.executable, '-m', entry.module, *entry.arguments],
      cwd=ROOT,
      env=os.environ | threads,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )
  finally:
    os.sched_setaffinity(0, usable)
  try:
    yield process
  finally:
    with contextlib.suppress(BrokenPipeError):
      process.communicate(timeout=60)  # the end of its input is the end of it
    process.kill()


def _run(process: subprocess.Popen[str], name: str) -> Sample:
  """One run."""
  assert process.stdin is not None
  print(file=process.stdin, flush=True)
  return Sample(**_read(process, name))


def _read(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
  """What a contestant says next."""
  assert process.stdout is not None
  line = process.stdout.readline()
  if not line:
    raise RuntimeError(f'the contestant {name} ended with status {process.wait()}')
  return json.loads(line)


def per_unit(outcome: Outcome, clock: str) -> np.ndarray:
  """Seconds of each round for a unit of work, such as a candidate; `clock` as in `Sample`."""
  seconds = np.array([getattr(sample, clock) for sample in outcome.samples])
  return seconds / outcome.facts['units']


def median_of(rounds: np.ndarray) -> Interval:
  """The median, and an interval that rests on no distribution but on the order of rounds."""
  found = scipy.stats.quantile_test(rounds, p=0.5)
  ends = found.confidence_interval(confidence_level=0.95)
  low, high = (None if np.isnan(end) else float(end) for end in ends)
  return Interval(float(np.median(rounds)), low, high)


def ratio(outcomes: Mapping[str, Outcome], slow: str, fast: str, *, clock: str) -> Interval:
  """How many times as long one takes as the other, for a unit of work, paired by round."""
  return median_of(per_unit(outcomes[slow], clock) / per_unit(outcomes[fast], clock))


def peak_fraction(outcomes: Mapping[str, Outcome], name: str, product: str) -> Interval:
  """The arithmetic of one in a CPU second, as a fraction of a matrix product's, by round.

  CPU seconds, since other load takes time from the two at different moments.
  """

  def rates(which: str) -> np.ndarray:
    facts = outcomes[which].facts
    return facts['flops'] / facts['units'] / per_unit(outcomes[which], 'cpu')

  return median_of(rates(name) / rates(product))


def cores_used(outcome: Outcome) -> float:
  """CPU seconds for each second on the clock, at most over the rounds."""
  return max(sample.cpu / sample.wall for sample in outcome.samples)
