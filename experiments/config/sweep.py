"""A sweep: the cells that a command line asks for, and its folders."""

import dataclasses
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from experiments.config.cell import Cell
from mamljax.errors import InputError

_REASONS = 3  # that are told


@dataclasses.dataclass(frozen=True)
class Sweep:
  """A sweep as the command line asks for it.

  Attributes:
    cells: in the order of the grid.
    data_dir: where prepared data are.
    output_dir: where tables and figures go.
    store_dir: where finished cells, pictures and checkpoints are kept.
    x: the column that accuracy is drawn against, or ''.
    dry_run: only print.
    strict: refuse what cannot be, instead of leaving it out.
    skipped: how many cells of the grid cannot be, by the reason.
  """

  cells: list[Cell]
  data_dir: Path | None
  output_dir: Path
  store_dir: Path
  x: str
  dry_run: bool
  strict: bool = False
  skipped: Counter[str] = dataclasses.field(default_factory=Counter)

  def without(self, refused: Iterable[tuple[Cell, str]]) -> Self:
    """The sweep without impossible cells, and the reason for each.

    Raises:
      InputError: if none is left.
    """
    reasons = dict(refused)
    skipped = self.skipped + Counter(reasons.values())
    cells = [cell for cell in self.cells if cell not in reasons]
    if not cells:
      raise InputError(skipped.most_common(1)[0][0])
    return dataclasses.replace(self, cells=cells, skipped=skipped)

  def skips(self) -> str:
    """One line on what was left out and why; '' if nothing was.

    Raises:
      InputError: with that line, if the sweep is strict.
    """
    count = self.skipped.total()
    if not count:
      return ''
    told = [f'{reason} ({times})' for reason, times in self.skipped.most_common(_REASONS)]
    told += ['...'] if len(self.skipped) > _REASONS else []
    line = f'{count} of {count + len(self.cells)} cells cannot be: {"; ".join(told)}'
    if self.strict:
      raise InputError(line)
    return f'skipped {line}'
