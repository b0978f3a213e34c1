"""The whole report, read from a folder: all files are read and checked, none is written."""

import shlex
from pathlib import Path

from experiments.analysis.catalogue import catalogue, described
from experiments.reporting.content import Page
from experiments.reporting.headline import make_headline
from experiments.reporting.provenance import provenance, versions
from experiments.reporting.results_folder import ResultsFolder, read_run
from experiments.reporting.sections import make_section
from experiments.store.runs import find_runs
from mamljax.errors import InputError


def make_page(output_dir: Path, title: str) -> Page:
  """The report on the runs in a folder and its subfolders.

  Args:
    output_dir: a folder to which commands wrote their results.
    title: title of the page.

  Raises:
    InputError: if there are no results, or one of their files is damaged.
  """
  folders = _read(output_dir)
  sections = [make_section(results) for results in folders]
  _check_distinct([section.anchor for section in sections])
  return Page(
    title=title,
    headline=make_headline(
      (results.name, cell) for results in folders for cell in results.cells
    ),
    sections=sections,
    provenance=provenance(folders),
    versions=versions(folders),
    command=f'python -m experiments.report --output_dir={shlex.quote(str(output_dir))}',
  )


def _read(output_dir: Path) -> list[ResultsFolder]:
  """Reads the runs, in the order of the catalogue, each named by its folder in `output_dir`."""
  if not output_dir.is_dir():
    raise InputError(f'there is no folder {output_dir}')
  folders = [
    read_run(_name(folder, output_dir), folder, run) for folder, run in find_runs(output_dir)
  ]
  if not folders:
    raise InputError(
      f'{output_dir} holds no results: neither it nor a folder in it has the run.json that '
      'sweep, train, runtime and identifiability leave in their --output_dir'
    )
  return sorted(folders, key=_position)


def _name(folder: Path, output_dir: Path) -> str:
  """The name of a run: its folder relative to that of the report, or the name of the latter."""
  relative = folder.relative_to(output_dir).as_posix()
  return (folder.resolve().name if relative == '.' else relative).removesuffix('_quick')


def _position(results: ResultsFolder) -> tuple[int, str]:
  """Sort key of a run: runs of the catalogue in its order, then others by name."""
  entry = described(results.folder)
  entries = catalogue()
  return (entries.index(entry) if entry else len(entries), results.name)


def _check_distinct(anchors: list[str]) -> None:
  """Raises if the files of two runs would overwrite each other in the report."""
  for anchor in anchors:
    if anchors.count(anchor) > 1:
      raise InputError(f'two folders of results are called {anchor}: rename one of them')
