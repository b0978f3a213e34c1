"""Attack many cells: `python -m experiments.sweep --flagfile=...`.

Finished cells are kept in the output folder; the same command on it resumes.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import logging
from tqdm import tqdm

from experiments import (
  ceiling,
  command,
  curves,
  figures,
  flags,
  models,
  results,
  rows,
  runs,
  stages,
  tables,
)
from experiments.examples import read_examples, write_examples
from experiments.grid import Cell, describe
from experiments.options import passes
from experiments.runner import run_cell
from mamljax.errors import InputError

MAX_PAIRED = 6  # cells whose reconstructions fit one picture


def main(argv: Sequence[str]) -> None:
  """Computes the cells that are not there yet, then prints the table of all of them."""
  del argv
  sweep = flags.read()
  if sweep.dry_run:
    print(*map(describe, sweep.cells), f'{len(sweep.cells)} cells', sep='\n')
    return
  for folder in (sweep.output_dir, sweep.store_dir):
    results.check_output_dir(folder)
  runs.check_run(sweep.output_dir)
  for cell in sweep.cells:
    # A mistake in the last cell stops the first.
    stages.check(cell, models.splits_of(cell, sweep.data_dir))
  found = _resume(sweep)
  if not found:
    raise InputError('no cell has a result')
  path = rows.write_csv(sweep.output_dir, found)
  runs.write_run(
    sweep.output_dir,
    store_dir=sweep.store_dir,
    cells=[Cell(**result.configuration) for result in found],
    x=sweep.x,
  )
  print(tables.format_table(found), *ceiling.statements(found), '', sep='\n')
  print(f'{len(found)} cells in {path}, the first pictured in {_draw(sweep, found)}')
  if len(found) < len(sweep.cells):
    raise InputError(f'{len(sweep.cells) - len(found)} cells have no result, as warned above')


def _resume(sweep: flags.Sweep) -> list[results.CellResult]:
  """The results of the cells, those that are in the output folder read from there."""
  kept = {cell: results.read_cell(sweep.store_dir, cell) for cell in sweep.cells}
  missing = [cell for cell, result in kept.items() if result is None]
  with tqdm(total=sum(map(_work, missing)), unit='step', unit_scale=True) as bar:
    for cell in missing:
      kept[cell] = _compute(cell, sweep, bar)
      rows.write_csv(sweep.output_dir, filter(None, kept.values()))
  return [result for result in kept.values() if result]


def _compute(cell: Cell, sweep: flags.Sweep, bar: tqdm) -> results.CellResult | None:
  """Computes a cell and keeps it; None, and a warning, if its numbers overflow."""
  bar.set_description(describe(cell))
  try:
    result, examples = run_cell(
      cell,
      data_dir=sweep.data_dir,
      store_dir=sweep.store_dir,
      advance=lambda trials: bar.update(trials * _steps(cell)),
    )
  except FloatingPointError as error:
    logging.warning('no result: %s', error)
    return None
  if examples:
    write_examples(sweep.store_dir, cell, examples)
  results.write_cell(sweep.store_dir, result)  # last: it marks the cell as finished
  return result


def _draw(sweep: flags.Sweep, found: list[results.CellResult]) -> Path:
  """Draws the first cell that has a result, and the curves that were asked for."""
  path = sweep.output_dir / 'picture.png'
  examples = read_examples(sweep.store_dir, Cell(**found[0].configuration))
  figures.save(figures.picture(found[0], examples), path)
  if 1 < len(found) <= MAX_PAIRED:
    _draw_pairs(sweep, found)
  if sweep.x:
    figures.save(curves.curves(found, sweep.x), sweep.output_dir / 'curves.png')
    areas = curves.areas(found) if sweep.x == 'noise_scale' else []
    print(*curves.trend(found, sweep.x), *areas, sep='\n')
  return path


def _draw_pairs(sweep: flags.Sweep, found: list[results.CellResult]) -> None:
  """Draws the reconstructions of a few cells, where there are any, below each other."""
  pictured = (
    (result, read_examples(sweep.store_dir, Cell(**result.configuration))) for result in found
  )
  drawn = [(result, examples) for result, examples in pictured if examples]
  if len(drawn) > 1:
    figures.save(figures.pairs(drawn), sweep.output_dir / 'pairs.png')


def _steps(cell: Cell) -> int:
  """The work of a trial, for the time left: images, each as often as it is looked at."""
  return cell.ways * cell.shots * passes(cell)


def _work(cell: Cell) -> int:
  return _steps(cell) * (cell.trials + cell.calibration_trials)


if __name__ == '__main__':
  command.use_all_cores()
  command.cache_compilations()
  command.run(main)
