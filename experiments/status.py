"""How far a sweep is: `python -m experiments.status --output_dir=OUT`.

Reads what its tasks keep in OUT and its store, wherever they run, and leaves nothing behind.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from experiments.config import bounds
from experiments.process import arguments, cli
from experiments.store import cells, failures, leases
from experiments.store.trials import count_trials
from experiments.sweeping import plan

_SHOWN = 5  # of each kind
_LOOKED_AT = 10_000  # results that are looked at for their times


def main(argv: Sequence[str]) -> None:
  """Prints what is done, running, failed and left."""
  del argv
  output_dir = arguments.folder('output_dir', flags.FLAGS.output_dir)
  print(*report(output_dir, lease=flags.FLAGS.lease_seconds), sep='\n')


def report(output_dir: Path, *, lease: float) -> list[str]:
  """The lines about the sweep whose results go to a folder.

  Raises:
    InputError: if no sweep was started there.
  """
  planned = plan.read(output_dir)
  store = output_dir / planned.store
  finished = cells.finished(store)
  done = [name for name in planned.cells if name in finished]
  open_ = [name for name in planned.cells if name not in finished]
  running = {name: claim.holder for name, claim in _running(store, open_, lease)}
  failed = {name: failure for name in open_ if (failure := failures.find(store, name))}
  waiting = len(open_) - len({*running, *failed})
  times = _times(store, done)
  lines = [
    f'{len(done)} of {len(planned.cells)} cells done, {len(running)} running, '
    f'{len(failed)} failed, {waiting} waiting'
  ]
  if open_:
    done_of = {name: _done(planned, store, name) for name in running}
    lines += [_remaining(planned, open_, times, done_of)]
    lines += [
      f'running: {done_of[name]:.0%}: {who or "a task"}: {planned.cells[name].name}'
      for name, who in [*running.items()][:_SHOWN]
    ]
  slowest = sorted(times, key=lambda name: -times[name])[:_SHOWN]
  lines += [f'slow: {plan.duration(times[n])}: {planned.cells[n].name}' for n in slowest]
  lines += [
    f'failed {failure.times} x: {failure.cell}: {failure.reason} (failures/{name}.json)'
    for name, failure in list(failed.items())[:_SHOWN]
  ]
  return lines


def _running(
  store: Path, names: Sequence[str], lease: float
) -> Iterator[tuple[str, leases.Claim]]:
  """The cells that are claimed, and not by who gave no sign of life for a lease."""
  for name in names:
    path = leases.folder(store) / f'{name}.json'
    claim = leases.find(path)
    if claim and not leases.is_silent(path, claim, lease):
      yield name, claim


def _times(store: Path, names: Sequence[str]) -> dict[str, float]:
  """The device-seconds of finished cells, of some of them if they are very many."""
  looked_at = ((name, cells.glance(store, name)) for name in names[-_LOOKED_AT:])
  return {name: _device_seconds(found) for name, found in looked_at if found}


def _device_seconds(found: cells.Summary) -> float:
  """What the trials of a finished cell took, on all devices together."""
  cell, timings = found.columns, found.timings
  trials = cell['trials'] + cell['calibration_trials']
  return timings['seconds_per_trial'] * trials * timings.get('devices', 1)


def _done(planned: plan.Plan, store: Path, name: str) -> float:
  """The part of a cell whose trials are kept."""
  trials = planned.cells[name].trials
  return min(1.0, count_trials(store, name) / trials) if trials else 0.0


def _remaining(
  planned: plan.Plan, left: Sequence[str], times: dict[str, float], done: dict[str, float]
) -> str:
  """The time left: as planned, corrected by what the finished cells took."""
  expected = {name: planned.cells[name].seconds for name in times}
  ratios = [took / expected[name] for name, took in times.items() if expected[name]]
  factor = statistics.fmean(ratios) if ratios else 1.0
  parts = (planned.cells[name].seconds * (1 - done.get(name, 0.0)) for name in left)
  seconds = factor * sum(parts)
  text = f'left: {plan.duration(seconds)} on one device'
  text += f', {plan.duration(seconds / len(done))} on the {len(done)} at work' if done else ''
  return text if ratios else f'{text} (a guess: no cell is finished)'


if __name__ == '__main__':
  flags.DEFINE_string('output_dir', 'out', 'where the results of the sweep go')
  bounds.real('lease_seconds', 120.0, bounds.LEASE, 'as the sweep has it')
  cli.run(main)
