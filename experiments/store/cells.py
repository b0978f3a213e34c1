"""What a cell found, on disk: OUT/cells/<hash>.json.

A cell file is named by the hash of its configuration and carries a checksum of its
content; it is written whole or not at all. This module alone reads and writes them.
"""

import dataclasses
import functools
import hashlib
import json
import os
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from absl import logging

from experiments.config.cell import Cell, Recipe
from experiments.config.columns import check_columns, configuration, flatten, read
from experiments.store import records
from mamljax import atomic
from mamljax.audit.metrics import Metrics, Rate
from mamljax.data.loading import FILE
from mamljax.errors import InputError

_HEAD = 2**16  # characters: more than a file has before its trials


class OldLayout(records.Unfit):
  """A cell as it was kept before its configuration was nested."""


class Trials(NamedTuple):
  """Trials of the game, in the order played: equally long lists of JSON scalars.

  Attributes:
    scores: what the attack said; finite, higher means 'member'.
    members: the truth.
    tasks: the id of the task each was played on.
    located: whether the learner that scored highest was the challenger's; always, where
      there is only one.
  """

  scores: list[float]
  members: list[bool]
  tasks: list[int]
  located: list[bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """What is kept about one finished cell, but for its trials: what a table needs of it.

  Attributes:
    configuration: the cell, as `columns.configuration` writes it.
    seed: what all randomness came from.
    versions: of Python and the packages that computed it; see `origin.versions`.
    git_revision: the commit of the code; see `origin.git_revision`.
    device_kind: what it ran on, as jax names it.
    timings: in seconds; at least seconds_per_trial (computation only) and
      compile_seconds.
    metrics: of the reported trials.
    extra: whatever else was measured, such as the learning accuracy.
  """

  configuration: dict[str, Any]
  seed: int
  versions: dict[str, str | None]
  git_revision: str | None
  device_kind: str
  timings: dict[str, float]
  metrics: Metrics
  extra: dict[str, Any] = dataclasses.field(default_factory=dict)

  @functools.cached_property
  def columns(self) -> dict[str, Any]:
    """The values of the cell by column."""
    return flatten(self.configuration)

  @property
  def cell(self) -> Cell:
    """The cell.

    Raises:
      InputError: if this program cannot make it any more.
    """
    return read(self.configuration)

  @property
  def hash(self) -> str:
    """The hash that names the cell."""
    return configuration_hash(self.configuration)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellResult(Summary):
  """Everything kept about one finished cell.

  Attributes:
    trials: those reported.
    calibration: those that chose the threshold; never reported; none where it was known.
  """

  trials: Trials
  calibration: Trials

  def summary(self) -> Summary:
    """The same without its trials, of which many cells have more than memory holds."""
    names = (field.name for field in dataclasses.fields(Summary))
    return Summary(**{name: getattr(self, name) for name in names})


AnySummary = TypeVar('AnySummary', bound=Summary)


def cell_hash(cell: Recipe) -> str:
  """The 16 hexadecimal digits that name a cell: equal for equal configurations only.

  Raises:
    ValueError: if a field is NaN or infinite.
  """
  return configuration_hash(configuration(cell))


def configuration_hash(configuration: dict[str, Any]) -> str:
  """The hash of a configuration of JSON scalars, whatever the order of its fields.

  1 and 1.0 are different values. A file of the user's counts by its content, wherever it lies.
  """
  data = configuration['data']
  if data['fingerprint'] and data['dataset'].startswith(FILE):
    configuration = configuration | {'data': data | {'dataset': FILE}}
  return _digest(configuration)[:16]


def check_output_dir(path: str | os.PathLike[str]) -> None:
  """Makes sure that results can be written under `path`; leaves nothing behind.

  Raises:
    InputError: if the folder, or its folder of cells, cannot be made or written.
  """
  try:
    for folder in (Path(path), Path(path) / 'cells'):
      tempfile.TemporaryFile(dir=_nearest(folder)).close()
  except OSError as error:
    raise InputError(f'cannot write to the output folder {path}: {error.strerror}') from error


def write_cell(output_dir: str | os.PathLike[str], result: CellResult) -> Path:
  """Writes OUT/cells/<hash>.json, whole or not at all, and returns its path.

  Floats read back bit for bit.

  Raises:
    InputError: if the folder cannot be written.
    ValueError: if a number is NaN or infinite, which JSON cannot hold.
  """
  rates = result.metrics._asdict().items()
  content = dataclasses.asdict(result) | {
    'metrics': {name: _plain(value) for name, value in rates},
    'trials': _plain(result.trials),
    'calibration': _plain(result.calibration),
  }
  path = _cell_path(output_dir, result.hash)
  atomic.write_text(path, _document(content))
  return path


def read_cell(output_dir: str | os.PathLike[str], cell: Cell) -> CellResult | None:
  """The finished result of a cell, or None if it must be computed (again).

  A damaged file is named in a warning and set aside as <hash>.json.damaged, not deleted.

  Raises:
    InputError: if a file is there but cannot be read or set aside.
  """
  path = _cell_path(output_dir, cell_hash(cell))
  try:
    found = _parse(path.read_bytes(), path.stem)
    return dataclasses.replace(found, configuration=configuration(cell))
  except FileNotFoundError:
    return None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    aside = atomic.set_aside(path)
    logging.warning('%s is damaged (%s): set aside as %s', path, error, aside.name)
    return None


def finished(output_dir: str | os.PathLike[str]) -> set[str]:
  """The hashes of the cells that have a file; what is in it is not looked at."""
  return {path.stem for path in (Path(output_dir) / 'cells').glob('*.json')}


def is_finished(output_dir: str | os.PathLike[str], name: str) -> bool:
  """Whether the cell of this hash has a file."""
  return _cell_path(output_dir, name).exists()


def read_cells(output_dir: str | os.PathLike[str], hashes: Iterable[str]) -> list[CellResult]:
  """The finished results of the cells of these hashes, in that order.

  Raises:
    InputError: if one is missing or damaged.
  """
  return [_read_whole(_cell_path(output_dir, name)) for name in hashes]


def glance(output_dir: str | os.PathLike[str], name: str) -> Summary | None:
  """The summary of the cell of this hash, from the beginning of its file.

  It takes as long for a million trials as for one, and trusts what it reads: for looking on,
  not for tables. None if there is no file, or it does not begin as one of ours.

  Raises:
    InputError: if it cannot be read.
  """
  path = _cell_path(output_dir, name)
  try:
    with path.open(encoding='utf-8', errors='replace') as file:
      before, trials, _ = file.read(_HEAD).partition(',\n "trials": ')
  except FileNotFoundError:
    return None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  try:
    content = records.load_json((before + '}').encode()) if trials else {}
    return _typed(content, Summary)
  except (ValueError, RecursionError):
    return None


def _read_whole(path: Path) -> CellResult:
  try:
    return _parse(path.read_bytes(), path.stem)
  except OldLayout:
    raise InputError(f'{path} is of an older layout of cells: run its sweep again') from None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path} is damaged ({error}): run its sweep again') from error


def _parse(data: bytes, name: str) -> CellResult:
  """The result in a cell file; a ValueError, or a RecursionError, if it is damaged."""
  content = records.load_json(data)
  if not isinstance(content, dict) or 'checksum' not in content:
    raise ValueError('it has no checksum')
  said = {key: value for key, value in content.items() if key != 'checksum'}
  first = {'checksum': content['checksum']}
  if content['checksum'] != _digest(said) or not _says(data, first | said):
    raise ValueError('its content does not match its checksum')
  result = _typed(content, CellResult)
  if result.hash != name:
    raise ValueError('it holds another configuration than its name says')
  return result


def _typed(content: Any, kind: type[AnySummary]) -> AnySummary:
  """The content of a cell file, or of its beginning."""
  said = content.get('configuration') if isinstance(content, dict) else None
  if not isinstance(said, dict):
    raise records.Unfit('it has no configuration')
  if 'dataset' in said:
    raise OldLayout
  result = records.fit({k: v for k, v in content.items() if k != 'checksum'}, kind)
  if missing := {'seconds_per_trial', 'compile_seconds'} - {*result.timings}:
    raise records.Unfit(f'its timings lack {min(missing)}')
  try:
    check_columns(result.columns)
  except (KeyError, TypeError, AttributeError, ValueError):
    raise records.Unfit('its configuration is of another version') from None
  return result


def _plain(value: Any) -> Any:
  """A NamedTuple as a dict; anything else as it is."""
  return value._asdict() if isinstance(value, (Rate, Trials)) else value


def _says(data: bytes, content: dict[str, Any]) -> bool:
  """Whether a file says just this, but for how its lines are indented.

  Its checksum alone would not tell: a float's last digit may change without changing its value.
  """
  compact = json.dumps(content, separators=(',', ': ')).encode()
  return re.sub(rb'\n *', b'', data) == compact


def _document(content: dict[str, Any]) -> str:
  """The text of a cell file."""
  return json.dumps({'checksum': _digest(content), **content}, indent=1, allow_nan=False)


def _digest(content: Any) -> str:
  """The SHA-256 of a JSON value, whatever its key order and layout; floats by repr."""
  text = json.dumps(content, sort_keys=True, separators=(',', ':'), allow_nan=False)
  return hashlib.sha256(text.encode()).hexdigest()


def _cell_path(output_dir: str | os.PathLike[str], name: str) -> Path:
  return Path(output_dir) / 'cells' / f'{name}.json'


def _nearest(folder: Path) -> Path:
  """The folder, or the nearest of its parents that exists."""
  try:
    folder.lstat()
  except FileNotFoundError:
    return _nearest(folder.parent)
  return folder
