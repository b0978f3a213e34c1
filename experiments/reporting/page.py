"""The whole report, read from a folder; nothing is written, and all damage is found."""

import shlex
from pathlib import Path

from experiments.analysis.catalogue import catalogue, described
from experiments.reporting.content import Page
from experiments.reporting.found import Found, read_run
from experiments.reporting.headline import make_headline
from experiments.reporting.provenance import provenance, versions
from experiments.reporting.sections import make_section
from experiments.store.runs import find_runs
from mamljax.errors import InputError


def make_page(output_dir: Path, title: str) -> Page:
  """The report on the runs in a folder, and in the folders in it.

  Args:
    output_dir: where commands wrote their results.
    title: of the page.

  Raises:
    InputError: if there are no results, or one of their files is damaged.
  """
  found = _read(output_dir)
  sections = [make_section(run) for run in found]
  _check_distinct([section.anchor for section in sections])
  return Page(
    title=title,
    headline=make_headline((run.name, cell) for run in found for cell in run.cells),
    sections=sections,
    provenance=provenance(found),
    versions=versions(found),
    command=f'python -m experiments.report --output_dir={shlex.quote(str(output_dir))}',
  )


def _read(output_dir: Path) -> list[Found]:
  """The runs in the order of the catalogue, each named by its folder in `output_dir`."""
  if not output_dir.is_dir():
    raise InputError(f'there is no folder {output_dir}')
  found = [
    read_run(_name(folder, output_dir), folder, run) for folder, run in find_runs(output_dir)
  ]
  if not found:
    raise InputError(
      f'{output_dir} holds no results: neither it nor a folder in it has the run.json that '
      'sweep, train, runtime and identifiability leave in their --output_dir'
    )
  return sorted(found, key=_position)


def _name(folder: Path, output_dir: Path) -> str:
  """The name of a run: its folder, from the folder of the report if it is within."""
  within = folder.relative_to(output_dir).as_posix()
  return (folder.resolve().name if within == '.' else within).removesuffix('_quick')


def _position(found: Found) -> tuple[int, str]:
  """Sorts runs: those of the catalogue in its order, then the rest by name."""
  entry = described(found.folder)
  known = catalogue()
  return (known.index(entry) if entry else len(known), found.name)


def _check_distinct(anchors: list[str]) -> None:
  """Refuses runs whose files in the report would overwrite each other."""
  for anchor in anchors:
    if anchors.count(anchor) > 1:
      raise InputError(f'two folders of results are called {anchor}: rename one of them')
