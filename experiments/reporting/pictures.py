"""Pictures of a sweep for the page: ROC curves, and reconstructions in pairs."""

import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from PIL import Image as Pillow

from experiments.analysis import figures
from experiments.analysis.figures import STYLE, roc_points, score_text
from experiments.reporting import wording
from experiments.reporting.content import Entry, Image, Pair
from experiments.store.cells import CellResult
from experiments.store.reconstructions import Examples
from mamljax.audit.metrics import tpr_at_fpr
from mamljax.errors import InputError

LINES = 9  # the most that can be told apart in one panel

_DOTS_PER_CSS_PIXEL = STYLE['savefig.dpi'] / 96
_DASHES = ('-', '--', ':')
_GAP = 2  # pixels between the images of a sheet
_ENLARGED = 4


def png(name: str, data: bytes, alt: str, *, source: str = '') -> Image:
  """A PNG as an image of the report, unchanged and shown in the size it was drawn in.

  Args:
    name: name of the file in the report.
    data: the bytes of the PNG.
    alt: a description in words.
    source: name for the error message; `name` by default.

  Raises:
    InputError: if the data is no valid PNG.
  """
  try:
    with Pillow.open(io.BytesIO(data), formats=['png']) as picture:
      picture.verify()
      width = picture.width
  except (
    OSError,
    SyntaxError,
    ValueError,
  ) as error:  # all that Pillow raises for a broken PNG
    raise InputError(f'{source or name} is damaged: {error}') from error
  return Image(name=name, data=data, alt=alt, width=round(width / _DOTS_PER_CSS_PIXEL))


def roc_panel(
  name: str, title: str, results: Sequence[CellResult], fields: Sequence[str]
) -> Image:
  """The ROC curves of cells over a logarithmic axis of false positives.

  Args:
    name: name of the file.
    title: title of the panel.
    results: at most `LINES` cells that have members and non-members among their trials.
    fields: the fields that tell the cells apart.
  """
  curves = [
    (
      wording.label(result.columns, fields),
      *roc_points(result.trials.scores, result.trials.members),
    )
    for result in results
  ]
  lowest = min(fpr[0] for _, fpr, _ in curves)
  with mpl.rc_context(STYLE):
    figure = Figure(figsize=(4.2, 4.2), layout='constrained')
    axes = figure.subplots()
    chance = np.geomspace(lowest, 1, 50)
    axes.plot(chance, chance, color='grey', linewidth=1, linestyle=(0, (1, 3)))
    shades = mpl.colormaps['viridis'](np.linspace(0, 0.8, len(curves)))
    for index, (label, fpr, tpr) in enumerate(curves):
      dashes = _DASHES[index % len(_DASHES)]
      axes.step(fpr, tpr, dashes, color=shades[index], label=label, where='post')
    axes.set(xscale='log', xlim=(lowest, 1), ylim=(0, 1.02))
    axes.set(title=title, xlabel='false-positive rate', ylabel='true-positive rate')
    if any(label for label, *_ in curves):
      figure.legend(loc='outside lower center', ncols=2, frameon=False, fontsize=8)
    data = figures.png(figure)
  return png(name, data, f'{title}: {_describe(results, fields)}')


def _describe(results: Sequence[CellResult], fields: Sequence[str]) -> str:
  """The description of a panel in words."""
  rates = [
    f'{rate:.2f}' + (f' ({label})' if label else '')
    for result in results
    for label in [wording.label(result.columns, fields)]
    for rate in [tpr_at_fpr(result.trials.scores, result.trials.members, 0.1)]
    if rate is not None
  ]
  return f'ROC curves; true-positive rate at 10 % false positives: {", ".join(rates)}.'


def pairs(result: CellResult, examples: Examples) -> list[Pair]:
  """The trials that have pictures, members first, each with its score and decision."""
  trials = zip(*examples, result.trials.members, result.trials.scores, strict=False)
  threshold = result.metrics.threshold
  drawn = [
    _pair(candidate, image, member, score > threshold, score_text(result, score))
    for candidate, image, member, score in trials
  ]
  return sorted(drawn, key=lambda pair: pair.truth)


def _pair(
  candidate: np.ndarray, reconstruction: np.ndarray, member: bool, decision: bool, score: str
) -> Pair:
  """A trial in pictures; its score is given as text."""
  truth, called = ('member' if flag else 'non-member' for flag in (member, decision))
  is_right = truth == called
  alt = f'A {truth} (left) and its reconstruction (right), {score}'
  return Pair(
    image=_encode('', np.hstack([candidate, _space(candidate, 'x'), reconstruction]), alt),
    truth=truth,
    score=wording.minus(score),
    decision=Entry(
      f'{"✓" if is_right else "✗"} called {called}', 'right' if is_right else 'wrong'
    ),
  )


def sheet(name: str, examples: Examples, alt: str) -> Image:
  """All candidates in a row, their reconstructions below."""
  rows = []
  for images in examples:
    parts = [part for image in images for part in (image, _space(image, 'x'))]
    rows.append(np.hstack(parts[:-1]))
  picture = np.vstack([rows[0], _space(rows[0], 'y'), rows[1]])
  return _encode(name, picture.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1), alt)


def _space(image: np.ndarray, along: str) -> np.ndarray:
  """The white space beside or below an image, along 'x' or 'y'."""
  height, width, channels = image.shape
  shape = (height, _GAP, channels) if along == 'x' else (_GAP, width, channels)
  return np.full(shape, 255, np.uint8)


def _encode(name: str, image: np.ndarray, alt: str) -> Image:
  """A uint8 image [height, width, channels] as PNG, one pixel for each CSS pixel."""
  data = io.BytesIO()
  Pillow.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(data, 'png')
  return Image(name=name, data=data.getvalue(), alt=alt, width=image.shape[1])
