"""A sweep: the cells that a command line asks for, and its folders."""

import dataclasses
from pathlib import Path

from experiments.config.cell import Cell


@dataclasses.dataclass(frozen=True)
class Sweep:
  """What the command line asks for.

  Attributes:
    cells: in the order of the grid.
    data_dir: where prepared data are.
    output_dir: where tables and figures go.
    store_dir: where finished cells, pictures and checkpoints are kept.
    x: the field that accuracy is drawn against, or ''.
    dry_run: only print.
  """

  cells: list[Cell]
  data_dir: Path | None
  output_dir: Path
  store_dir: Path
  x: str
  dry_run: bool
