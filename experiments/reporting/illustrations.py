"""The pictures of a run: figures drawn by its command, ROC curves and reconstructions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.reporting import pictures, wording
from experiments.reporting.cell_tables import varying
from experiments.reporting.content import Figure, Gallery, Image
from experiments.reporting.results_folder import ResultsFolder
from experiments.store.cells import CellResult
from experiments.store.reconstructions import Examples, read_examples
from mamljax.errors import InputError

_SUBJECT = ('dataset', 'target')


def lead(results: ResultsFolder) -> list[Figure]:
  """The main figure of a run: its curves, or its table as a picture."""
  if results.run.x:
    against = wording.heading(results.run.x)
    return _saved_figure(results, 'curves', f'Accuracy against {against}, with 95 % intervals')
  return _saved_figure(results, results.path('').name, 'The table as a picture')


def glance(results: ResultsFolder) -> list[Figure]:
  """The figure of the first cell, for a run without curves."""
  caption = 'The first cell: reconstructions, scores with the threshold, and ROC curve'
  return [] if results.run.x else _saved_figure(results, 'picture', caption)


def _saved_figure(results: ResultsFolder, name: str, caption: str) -> list[Figure]:
  """A figure that the command of the run saved in its folder; none if it did not."""
  path = results.folder / f'{name}.png'
  if not path.exists():
    return []
  name_in_report = f'{wording.anchor(results.name)}_{name}.png'
  return [
    Figure(caption, [_read_png(path, name_in_report, f'{caption}; the table has its numbers')])
  ]


def _read_png(path: Path, name: str, alt: str) -> Image:
  """Reads a PNG as an image of the report."""
  try:
    return pictures.png(name, path.read_bytes(), alt, source=str(path))
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error


def roc_curves(results: ResultsFolder) -> list[Figure]:
  """The ROC curves of a run, a panel for each set of each data set."""
  drawable = [cell for cell in results.cells if {True, False} <= {*cell.trials.members}]
  groups = _by_subject(drawable)
  name = f'{wording.anchor(results.name)}_roc'
  panels = [_panel(f'{name}_{k + 1}.png', cells) for k, cells in enumerate(groups.values())]
  largest = max(map(len, groups.values()), default=0)
  chosen = (
    f'; {pictures.LINES} of {largest} cells, evenly chosen' if largest > pictures.LINES else ''
  )
  caption = 'True positives against false positives on a logarithmic axis; dotted: guessing'
  return [Figure(caption + chosen, panels)] if panels else []


def _panel(name: str, group: Sequence[CellResult]) -> Image:
  """A panel of ROC curves: at most `pictures.LINES` of the cells, evenly chosen."""
  fields = varying(group) or ['ways', 'shots']
  count = min(len(group), pictures.LINES)
  chosen = [group[round(k * (len(group) - 1) / max(count - 1, 1))] for k in range(count)]
  return pictures.roc_panel(name, wording.label(group[0].columns, _SUBJECT), chosen, fields)


def galleries(results: ResultsFolder) -> Iterator[Gallery]:
  """The reconstructions in the first cell of each set of each data set."""
  for index, group in enumerate(_by_subject(results.cells).values()):
    examples = _examples(results.store, group[0])
    if examples is None:
      continue
    fields = [*_SUBJECT, 'ways', 'shots', *varying(results.cells)]
    caption = wording.label(group[0].columns, dict.fromkeys(fields))
    name = f'{wording.anchor(results.name)}_reconstructions_{index + 1}.png'
    alt = f'Candidates above, their reconstructions below: {caption}'
    yield Gallery(
      caption, pictures.pairs(group[0], examples), pictures.sheet(name, examples, alt)
    )


def _examples(store: Path, result: CellResult) -> Examples | None:
  """The examples of a cell; None if it has none, or if another version wrote the cell."""
  try:
    cell = result.cell
  except InputError:
    return None
  return read_examples(store, cell)


def _by_subject(cells: Sequence[CellResult]) -> dict[tuple[str, ...], list[CellResult]]:
  """The cells grouped by data set and target, in the order given."""
  groups: dict[tuple[str, ...], list[CellResult]] = {}
  for cell in cells:
    subject = tuple(cell.columns[name] for name in _SUBJECT)
    groups.setdefault(subject, []).append(cell)
  return groups
