"""Progress of a sweep: `python -m experiments.status --output_dir=OUT`.

Reads the files of its tasks in OUT and its store, wherever the tasks run, and changes nothing.
"""

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

from absl import flags

from experiments.process import arguments, bounds, cli
from experiments.store import cells, claims, failures
from experiments.store.trials import count_trials
from experiments.sweeping import plan

_MAX_SHOWN = 5  # cells of each kind in the report
_MAX_TIMED = 10_000  # finished cells whose times are read


def main(argv: Sequence[str]) -> None:
  """Prints the finished, running and failed cells, and the time left."""
  del argv
  output_dir = arguments.folder('output_dir', flags.FLAGS.output_dir)
  print(*report(output_dir, lease=flags.FLAGS.lease_seconds), sep='\n')


def report(output_dir: Path, *, lease: float) -> list[str]:
  """The lines about the sweep with this output folder.

  Raises:
    InputError: if no sweep was started in the folder.
  """
  planned = plan.read(output_dir)
  store = output_dir / planned.store
  finished = cells.finished(store)
  done = [name for name in planned.cells if name in finished]
  unfinished = [name for name in planned.cells if name not in finished]
  running = {name: claim.holder for name, claim in _running(store, unfinished, lease)}
  failed = {name: failure for name in unfinished if (failure := failures.find(store, name))}
  waiting = len(unfinished) - len({*running, *failed})
  times = _times(store, done)
  lines = [
    f'{len(done)} of {len(planned.cells)} cells done, {len(running)} running, '
    f'{len(failed)} failed, {waiting} waiting'
  ]
  if unfinished:
    fractions = {name: _fraction_done(planned, store, name) for name in running}
    lines += [_remaining(planned, unfinished, times, fractions)]
    lines += [
      f'running: {fractions[name]:.0%}: {holder or "a task"}: {planned.cells[name].name}'
      for name, holder in [*running.items()][:_MAX_SHOWN]
    ]
  slowest = sorted(times, key=lambda name: -times[name])[:_MAX_SHOWN]
  lines += [f'slow: {plan.duration(times[n])}: {planned.cells[n].name}' for n in slowest]
  lines += [
    f'failed {failure.times} x: {failure.cell}: {failure.reason} (failures/{name}.json)'
    for name, failure in list(failed.items())[:_MAX_SHOWN]
  ]
  return lines


def _running(
  store: Path, names: Sequence[str], lease: float
) -> Iterator[tuple[str, claims.Claim]]:
  """The cells with a claim that has had a heartbeat within the lease."""
  for name in names:
    path = claims.folder(store) / f'{name}.json'
    claim = claims.find(path)
    if claim and not claims.is_silent(path, claim, lease):
      yield name, claim


def _times(store: Path, names: Sequence[str]) -> dict[str, float]:
  """The device-seconds of finished cells, or of the last ones if there are very many."""
  summaries = ((name, cells.glance(store, name)) for name in names[-_MAX_TIMED:])
  return {name: _device_seconds(summary) for name, summary in summaries if summary}


def _device_seconds(summary: cells.Summary) -> float:
  """The time of the trials of a finished cell, summed over all devices."""
  cell, timings = summary.columns, summary.timings
  trials = cell['trials'] + cell['calibration_trials']
  return timings['seconds_per_trial'] * trials * timings.get('devices', 1)


def _fraction_done(planned: plan.Plan, store: Path, name: str) -> float:
  """The fraction of the trials of a cell that are saved."""
  trials = planned.cells[name].trials
  return min(1.0, count_trials(store, name) / trials) if trials else 0.0


def _remaining(
  planned: plan.Plan,
  unfinished: Sequence[str],
  times: dict[str, float],
  fractions: dict[str, float],
) -> str:
  """The time left: as planned, scaled by the ratio of actual to planned times so far.

  Args:
    planned: the plan of the sweep.
    unfinished: the hashes of the cells that are not finished.
    times: device-seconds of finished cells.
    fractions: the finished fraction of each running cell.
  """
  expected = {name: planned.cells[name].seconds for name in times}
  ratios = [actual / expected[name] for name, actual in times.items() if expected[name]]
  factor = statistics.fmean(ratios) if ratios else 1.0
  parts = (planned.cells[name].seconds * (1 - fractions.get(name, 0.0)) for name in unfinished)
  seconds, workers = factor * sum(parts), len(fractions)
  text = f'left: {plan.duration(seconds)} on one device'
  text += f', {plan.duration(seconds / workers)} on the {workers} at work' if workers else ''
  return text if ratios else f'{text} (a guess: no cell is finished)'


if __name__ == '__main__':
  flags.DEFINE_string('output_dir', 'out', 'the output folder of the sweep')
  lease_help = 'seconds without a heartbeat after which a claim expires, as in the sweep'
  bounds.real('lease_seconds', 120.0, bounds.LEASE, lease_help)
  cli.run(main)
