"""Contests: contestants in separate processes, run in turn in every round, and compared.

A machine has other load, which disturbs the contestants of a round alike. So they are compared
within each round, and the median over the rounds is reported.
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
  """Seconds of one run: wall-clock time, and CPU time of all threads together."""

  wall: float
  cpu: float


class Entry(NamedTuple):
  """A contestant, with the command that starts it.

  Attributes:
    name: name of the contestant.
    module: module that `python -m` runs, and which must call `serving.serve`.
    arguments: arguments of its command line.
    cores: number of cores that it may use.
  """

  name: str
  module: str
  arguments: tuple[str, ...]
  cores: int = 1


class Outcome(NamedTuple):
  """The results of a contestant: its facts, and a sample for each round."""

  facts: dict[str, Any]
  samples: list[Sample]


class Interval(NamedTuple):
  """A median over rounds with its 95 % interval; the ends are None if rounds are too few."""

  median: float
  low: float | None
  high: float | None


def compete(
  entries: Sequence[Entry], *, rounds: int, advance: Callable[[], Any]
) -> dict[str, Outcome]:
  """Prepares the contestants one after the other, then runs each once in every round.

  Args:
    entries: the contestants, in the order in which they run.
    rounds: number of rounds.
    advance: called after each preparation and after each round.

  Raises:
    RuntimeError: if a contestant ends early; its own message is on standard error.
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
  """The cores that this process may use, in the order in which contestants get them."""
  return sorted(os.sched_getaffinity(0), reverse=True)


@contextlib.contextmanager
def _started(entry: Entry) -> Iterator[subprocess.Popen[str]]:
  """Starts a process that is bound to its cores from the beginning; ends it afterwards."""
  threads = {name: str(entry.cores) for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS')}
  usable = os.sched_getaffinity(0)
  os.sched_setaffinity(0, usable_cores()[: entry.cores])  # which a child process inherits
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
      process.communicate(timeout=60)  # at the end of its input, a contestant ends
    process.kill()


def _run(process: subprocess.Popen[str], name: str) -> Sample:
  """Requests one run of a contestant."""
  assert process.stdin is not None
  print(file=process.stdin, flush=True)
  return Sample(**_read(process, name))


def _read(process: subprocess.Popen[str], name: str) -> dict[str, Any]:
  """Reads the next answer of a contestant."""
  assert process.stdout is not None
  line = process.stdout.readline()
  if not line:
    raise RuntimeError(f'the contestant {name} ended with status {process.wait()}')
  return json.loads(line)


def per_unit(outcome: Outcome, clock: str) -> np.ndarray:
  """Seconds per unit of work in each round, by a clock of `Sample`: 'wall' or 'cpu'."""
  seconds = np.array([getattr(sample, clock) for sample in outcome.samples])
  return seconds / outcome.facts['units']


def median_of(rounds: np.ndarray) -> Interval:
  """The median, with a distribution-free interval from order statistics."""
  test = scipy.stats.quantile_test(rounds, p=0.5)
  ends = test.confidence_interval(confidence_level=0.95)
  low, high = (None if np.isnan(end) else float(end) for end in ends)
  return Interval(float(np.median(rounds)), low, high)


def ratio(outcomes: Mapping[str, Outcome], slow: str, fast: str, *, clock: str) -> Interval:
  """The ratio of the times that two contestants take for a unit of work, paired by round."""
  return median_of(per_unit(outcomes[slow], clock) / per_unit(outcomes[fast], clock))


def peak_fraction(outcomes: Mapping[str, Outcome], name: str, product: str) -> Interval:
  """The arithmetic of a contestant per CPU second, relative to a matrix product, by round.

  The clock is CPU time, since other load interrupts the two at different moments.
  """

  def rates(contestant: str) -> np.ndarray:
    facts = outcomes[contestant].facts
    return facts['flops'] / facts['units'] / per_unit(outcomes[contestant], 'cpu')

  return median_of(rates(name) / rates(product))


def cores_used(outcome: Outcome) -> float:
  """The largest ratio of CPU time to wall-clock time over the rounds."""
  return max(sample.cpu / sample.wall for sample in outcome.samples)
