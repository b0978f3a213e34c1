"""The pictures of a run: those its command drew, ROC curves and reconstructions."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from experiments.reporting import pictures, wording
from experiments.reporting.cell_tables import varying
from experiments.reporting.content import Figure, Gallery, Image
from experiments.reporting.found import Found
from experiments.store.cells import CellResult
from experiments.store.reconstructions import Examples, read_examples
from mamljax.errors import InputError

_SUBJECT = ('dataset', 'target')


def lead(found: Found) -> list[Figure]:
  """The picture that the run is about."""
  if found.run.x:
    against = wording.heading(found.run.x)
    return _left_by_the_run(found, 'curves', f'Accuracy against {against}, with 95 % intervals')
  return _left_by_the_run(found, found.path('').name, 'The table as a picture')


def glance(found: Found) -> list[Figure]:
  """The first cell of a run that is about no curve."""
  shown = 'The first cell: reconstructions, scores with the threshold, and ROC curve'
  return [] if found.run.x else _left_by_the_run(found, 'picture', shown)


def _left_by_the_run(found: Found, name: str, caption: str) -> list[Figure]:
  """A picture that the command left in its folder, if it did."""
  path = found.folder / f'{name}.png'
  if not path.exists():
    return []
  target = f'{wording.anchor(found.name)}_{name}.png'
  return [Figure(caption, [_read_png(path, target, f'{caption}; the table has its numbers')])]


def _read_png(path: Path, name: str, alt: str) -> Image:
  try:
    return pictures.png(name, path.read_bytes(), alt, source=str(path))
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error


def roc_curves(found: Found) -> list[Figure]:
  """The ROC curves, a panel for each set of each data set."""
  both = [cell for cell in found.cells if {True, False} <= {*cell.trials.members}]
  groups = _by_subject(both)
  name = f'{wording.anchor(found.name)}_roc'
  panels = [_panel(f'{name}_{k + 1}.png', cells) for k, cells in enumerate(groups.values())]
  most = max(map(len, groups.values()), default=0)
  chosen = f'; {pictures.LINES} of {most} cells, evenly chosen' if most > pictures.LINES else ''
  caption = 'True positives against false positives on a logarithmic axis; dotted: guessing'
  return [Figure(caption + chosen, panels)] if panels else []


def _panel(name: str, group: Sequence[CellResult]) -> Image:
  """A panel with as many of the cells as can be told apart, evenly chosen."""
  fields = varying(group) or ['ways', 'shots']
  count = min(len(group), pictures.LINES)
  chosen = [group[round(k * (len(group) - 1) / max(count - 1, 1))] for k in range(count)]
  return pictures.roc_panel(name, wording.label(group[0].columns, _SUBJECT), chosen, fields)


def galleries(found: Found) -> Iterator[Gallery]:
  """The reconstructions of the first cell of each set of each data set."""
  for index, group in enumerate(_by_subject(found.cells).values()):
    examples = _examples(found.store, group[0])
    if examples is None:
      continue
    fields = [*_SUBJECT, 'ways', 'shots', *varying(found.cells)]
    caption = wording.label(group[0].columns, dict.fromkeys(fields))
    name = f'{wording.anchor(found.name)}_reconstructions_{index + 1}.png'
    alt = f'Candidates above, their reconstructions below: {caption}'
    yield Gallery(
      caption, pictures.pairs(group[0], examples), pictures.sheet(name, examples, alt)
    )


def _examples(store: Path, result: CellResult) -> Examples | None:
  """The pictures of a cell; None without any, or if another version of the grid made it."""
  try:
    cell = result.cell
  except InputError:
    return None
  return read_examples(store, cell)


def _by_subject(cells: Sequence[CellResult]) -> dict[tuple[str, ...], list[CellResult]]:
  """The cells apart by data set and target, each in the order given."""
  groups: dict[tuple[str, ...], list[CellResult]] = {}
  for cell in cells:
    subject = tuple(cell.columns[name] for name in _SUBJECT)
    groups.setdefault(subject, []).append(cell)
  return groups
