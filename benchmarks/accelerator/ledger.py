"""The rows of the measurements, in a CSV that is whole after each of them."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from experiments.analysis.text import csv_text
from mamljax import atomic

# Seconds are the median of `repeats` runs, and `spread` is from the fastest to the slowest.
COLUMNS = (
  *('section', 'name', 'device', 'jax', 'precision', 'chunk', 'iterations', 'units', 'unit'),
  *('seconds', 'spread', 'repeats', 'per_second', 'compile_seconds'),
  *('flops', 'tflops_per_second', 'of_product', 'loop_flops'),
  *('loop_bytes', 'gbytes_per_second', 'of_copy', 'program_bytes', 'peak_bytes'),
  *('error', 'auc', 'auc_low', 'auc_high', 'auc_change', 'trials', 'networks', 'seed'),
  *('note', 'failure'),
)


class Ledger:
  """The rows so far, in the file of a folder.

  Attributes:
    path: the file.
  """

  def __init__(self, folder: Path):
    self.path = folder / 'accelerator.csv'

  def rows(self) -> list[dict[str, str]]:
    """All rows, as texts."""
    if not self.path.exists():
      return []
    with self.path.open(encoding='utf-8', newline='') as lines:
      return list(csv.DictReader(lines))

  def add(self, row: Mapping[str, Any]) -> None:
    """Writes a row below the others, and the file anew, whole or not at all."""
    atomic.write_text(self.path, csv_text(COLUMNS, [*self.rows(), row]))

  def names(self) -> set[tuple[str, str]]:
    """Section and name of each row."""
    return {(row['section'], row['name']) for row in self.rows()}

  def find(self, section: str, start: str) -> Iterator[dict[str, str]]:
    """The rows of a section that did not fail, and whose names have this start."""
    for row in self.rows():
      if row['section'] == section and row['name'].startswith(start) and not row['failure']:
        yield row

  def best(self, section: str, start: str) -> dict[str, str] | None:
    """The row of the most units a second among those; None if there is none."""
    found = [row for row in self.find(section, start) if row['per_second']]
    return max(found, key=lambda row: float(row['per_second']), default=None)
