"""Origin of the numbers: trials, seeds, devices, time, code and versions."""

from collections.abc import Sequence

from experiments.reporting import wording
from experiments.reporting.content import Entry, Group, Table
from experiments.reporting.results_folder import ResultsFolder

_HEADINGS = ('run', 'cells', 'trials', 'for the threshold', 'seed', 'device', 'time', 'code')
_NUMERIC = (False, True, True, True, True, False, True, False)


def provenance(folders: Sequence[ResultsFolder]) -> Table:
  """The table of runs, a line for each."""
  return Table(
    caption='Every run',
    headings=[*_HEADINGS],
    numeric=[*_NUMERIC],
    groups=[Group('', [_line(results) for results in folders])],
    note=(
      'Numbers of trials are per cell. The time is wall-clock time, the sum over all '
      'resumptions. The code is a git commit, marked dirty where files differed from it.'
    ),
  )


def versions(folders: Sequence[ResultsFolder]) -> list[tuple[str, str]]:
  """The packages that computed the cells and the runs, each with its versions."""
  recorded = [
    record.versions for results in folders for record in (results.run, *results.cells)
  ]
  packages = dict.fromkeys(package for versions in recorded for package in versions)
  return [
    (
      package,
      wording.several(versions.get(package) or 'not installed' for versions in recorded),
    )
    for package in packages
  ]


def _line(results: ResultsFolder) -> list[Entry]:
  """The row of a run."""
  run, cells = results.run, results.cells
  devices = f'{run.devices} {wording.TIMES} ' if run.devices > 1 else ''
  trials, calibration = (
    wording.several(cell.columns[name] for cell in cells) or wording.NOTHING
    for name in ('trials', 'calibration_trials')
  )
  kinds = wording.several([*(cell.device_kind for cell in cells), run.device_kind])
  revisions = [*(cell.git_revision for cell in cells), run.git_revision]
  fields = (
    results.name,
    str(len(cells) or wording.NOTHING),
    trials,
    calibration,
    wording.several(cell.seed for cell in cells) or wording.NOTHING,
    f'{devices}{kinds}',
    wording.duration(run.seconds),
    wording.several(map(_abbreviate, revisions)),
  )
  return [*map(Entry, fields)]


def _abbreviate(revision: str | None) -> str:
  """The first 12 digits of a commit, which identify it in practice."""
  if revision is None:
    return 'outside git'
  commit, *dirty = revision.split('-')
  return '-'.join([commit[:12], *dirty])
