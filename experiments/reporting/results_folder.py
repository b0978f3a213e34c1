"""A folder of results as the report reads it."""

from pathlib import Path
from typing import NamedTuple

from experiments.store.cells import CellResult, read_cells
from experiments.store.runs import Run

_FILES = {'train': 'learning', 'runtime': 'runtimes'}  # other files are named after their kind


class ResultsFolder(NamedTuple):
  """A folder of results, with the record of its run, and the cells if that is a sweep."""

  name: str
  folder: Path
  run: Run
  cells: list[CellResult]

  @property
  def store(self) -> Path:
    """The folder of the cells and their pictures."""
    return self.folder / self.run.store

  def path(self, suffix: str) -> Path:
    """The file of a run other than a sweep: measurements ('.csv') or figure ('.png')."""
    return self.folder / f'{_FILES.get(self.run.kind, self.run.kind)}{suffix}'


def read_run(name: str, folder: Path, run: Run) -> ResultsFolder:
  """Reads a folder of results.

  Raises:
    InputError: if a cell of the run is missing or damaged.
  """
  return ResultsFolder(name, folder, run, read_cells(folder / run.store, run.cells))
