"""Folders of results to report on, made without computing anything; and a page taken apart."""

import dataclasses
import html.parser
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from experiments.analysis import figures
from experiments.config.cell import Cell
from experiments.config.columns import configuration
from experiments.store.cells import CellResult, Trials, cell_hash, write_cell
from experiments.store.reconstructions import make_examples, write_examples
from experiments.store.runs import Run
from mamljax.audit.metrics import evaluate
from tests.experiments.configurations import make

REVISION = '0123456789abcdef0123456789abcdef01234567'


def make_result(
  *, apart: float = 2.0, extra: dict[str, Any] | None = None, **fields: Any
) -> CellResult:
  """A cell whose members score `apart` standard deviations above its non-members."""
  few: dict[str, Any] = {'trials': 40, 'calibration_trials': 20}
  return result_of(make(**few | fields), apart=apart, extra=extra)


def result_of(
  cell: Cell, *, apart: float = 2.0, extra: dict[str, Any] | None = None
) -> CellResult:
  """The result of a cell whose members score so many standard deviations above the others."""
  members = np.arange(cell.game.trials) % 2 == 0
  random = np.random.default_rng([cell.task.ways, cell.task.shots])
  scores = random.normal(0.3 + 0.1 * apart * members, 0.1)
  trials = Trials(
    scores.tolist(), members.tolist(), list(range(len(scores))), [True] * len(scores)
  )
  threshold = 0.3 + 0.05 * apart
  return CellResult(
    configuration=configuration(cell),
    seed=cell.seed,
    versions={'python': '3.11.0', 'jax': '0.7.0'},
    git_revision=REVISION,
    device_kind='cpu',
    timings={'seconds_per_trial': 0.25, 'compile_seconds': 1.0, 'devices': 2},
    metrics=evaluate(scores, members, threshold=threshold, tasks=trials.tasks),
    trials=trials,
    calibration=trials,
    extra=extra or {},
  )


def write_run(
  folder: Path, kind: str, *, cells: Sequence[str] = (), store: str = '.', x: str = ''
) -> None:
  """Writes the run.json of a folder."""
  run = Run(
    kind=kind,
    command=f'python -m experiments.{kind} --output_dir={folder.name}',
    seconds=4020.0,
    cells=[*cells],
    store=store,
    x=x,
    versions={'python': '3.11.0', 'jax': '0.7.0'},
    git_revision=REVISION,
    device_kind='cpu',
    devices=2,
  )
  folder.mkdir(parents=True, exist_ok=True)
  (folder / 'run.json').write_text(json.dumps(dataclasses.asdict(run)))


def write_sweep(
  folder: Path, found: Sequence[CellResult], *, store: str = '.', x: str = ''
) -> None:
  """Writes cells and their run.json, and a picture as the sweep would."""
  cells = [result.cell for result in found]
  for result in found:
    write_cell(folder / store, result)
  write_run(folder, 'sweep', cells=[*map(cell_hash, cells)], store=store, x=x)
  figures.save(Figure(figsize=(9, 3)), folder / ('curves.png' if x else 'picture.png'))


def write_pictures(folder: Path, result: CellResult, *, side: int = 11) -> None:
  """Four reconstructions of a cell."""
  images = np.random.default_rng(0).uniform(size=(4, side, side, 1))
  write_examples(folder, result.cell, make_examples(images, images / 2))


def write_measured(folder: Path, kind: str, name: str, text: str) -> None:
  """A run other than a sweep: a CSV file and a picture."""
  write_run(folder, kind)
  (folder / f'{name}.csv').write_text(text)
  figures.save(Figure(figsize=(5, 3)), folder / f'{name}.png')


def tree(folder: Path) -> dict[str, bytes]:
  """The content of every file below a folder."""
  paths = sorted(path for path in folder.rglob('*') if path.is_file())
  return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


class Opened(html.parser.HTMLParser):
  """A page taken apart: its elements, its words, and the rows of its tables."""

  def __init__(self, page: str):
    super().__init__()
    self.elements: list[tuple[str, dict[str, str]]] = []
    self.words: list[str] = []
    self.tables: list[list[list[str]]] = []
    self._inside: list[str] = []
    self.feed(page)

  def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
    self.elements.append((tag, {name: value or '' for name, value in attrs}))
    if tag not in ('meta', 'link', 'img'):
      self._inside.append(tag)
    if tag == 'table':
      self.tables.append([])
    elif tag == 'tr':
      self.tables[-1].append([])
    elif tag in ('th', 'td'):
      self.tables[-1][-1].append('')

  def handle_endtag(self, tag: str) -> None:
    assert self._inside.pop() == tag, f'</{tag}> closes another element'

  def handle_data(self, data: str) -> None:
    if 'style' in self._inside or not data.strip():
      return
    self.words.append(' '.join(data.split()))
    if self._inside[-1] in ('th', 'td'):
      self.tables[-1][-1][-1] += self.words[-1]

  @property
  def text(self) -> str:
    """All words."""
    return ' '.join(self.words)

  def all(self, attribute: str) -> list[str]:
    """The values of an attribute, wherever it stands."""
    return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]
