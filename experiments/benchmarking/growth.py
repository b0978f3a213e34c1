"""Measurement of growth: axis after axis, written as a table and drawn."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.benchmarking import contest, growing
from experiments.process.progress_bars import bar
from experiments.store import cells, runs
from mamljax import atomic

Series = dict[str, Sequence[growing.Point]]


def measure_axes(
  folder: Path, entries: Mapping[str, Sequence[contest.Entry]], *, rounds: int
) -> Series:
  """Points of each axis; FOLDER/growth.csv and growth.png hold those measured so far.

  Args:
    folder: where they are written.
    entries: the contestants of each axis.
    rounds: number of runs of each size.
  """
  cells.check_output_dir(folder)
  runs.begin(folder, 'growth.csv')
  series: Series = {}
  for name, contestants in entries.items():
    series[name] = _measure(name, contestants, rounds)
    _write(folder, series)
  runs.write_run(folder)
  return series


def _measure(name: str, entries: Sequence[contest.Entry], rounds: int) -> list[growing.Point]:
  """Measures the points of an axis."""
  with bar(total=len(entries) + rounds, desc=name, unit='step') as progress:
    outcomes = contest.compete(entries, rounds=rounds, advance=progress.update)
  return growing.points_of(name, outcomes)


def _write(folder: Path, series: Mapping[str, Sequence[growing.Point]]) -> None:
  """Writes the axes measured so far, as a table and as a figure."""
  lines = [point._asdict() for points in series.values() for point in points]
  atomic.write_text(folder / 'growth.csv', csv_text(growing.Point._fields, lines))
  figures.save(growing.draw_axes(series), folder / 'growth.png')
