"""Measurement of the benchmark: row after row, written as a table and drawn."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.benchmarking import contest, lines, rows
from experiments.engine import checking, models
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic


def check_rows(folder: Path, names: Sequence[str], choices: rows.Choices) -> None:
  """Refuses images too small for a row, and a folder that cannot be written."""
  for name in names:
    cell = rows.cell_of(rows.ROWS[name], choices)
    checking.check_pixels(cell, models.splits_of(cell, None))
  cells.check_output_dir(folder)


def measure_rows(
  folder: Path, names: Sequence[str], choices: rows.Choices, *, rounds: int
) -> list[lines.Line]:
  """Lines of the benchmark; FOLDER holds those measured so far, with every sample.

  Args:
    folder: where benchmark.json, benchmark.csv and benchmark.png are written.
    names: of the rows.
    choices: the settings that all rows share.
    rounds: number of runs of each contestant.
  """
  runs.begin(folder, 'benchmark.csv', 'benchmark.json')
  results, table = {}, []
  with tempfile.TemporaryDirectory() as scratch:
    for name in bar(names, unit='row'):
      outcomes = _compete(name, choices, Path(scratch) / f'{name}.npz', rounds)
      results[name] = {
        contestant: outcome._asdict() for contestant, outcome in outcomes.items()
      }
      cell = rows.cell_of(rows.ROWS[name], choices)
      table += lines.lines_of(name, rows.ROWS[name], cell, outcomes)
      _write(folder, results, table)
  runs.write_run(folder)
  return table


def _compete(
  name: str, choices: rows.Choices, problem: Path, rounds: int
) -> dict[str, contest.Outcome]:
  """Runs the contestants of a row."""
  entries = rows.entries_of(rows.ROWS[name], choices, problem)
  total = len(entries) + rounds
  with bar(total=total, desc=name, unit='step', leave=False) as progress:
    return contest.compete(entries, rounds=rounds, advance=progress.update)


def _write(folder: Path, results: dict[str, Any], table: Sequence[lines.Line]) -> None:
  """Writes the rows measured so far: every sample, the table and the figure."""
  atomic.write_text(folder / 'benchmark.json', json.dumps(results, indent=1) + '\n')
  text = csv_text(lines.Line._fields, [line._asdict() for line in table])
  atomic.write_text(folder / 'benchmark.csv', text)
  figures.save(lines.draw_lines(table), folder / 'benchmark.png')
