"""Results of finished cells on disk: OUT/cells/<hash>.json.

A cell file is named by the hash of the cell's configuration and carries a checksum of its
content; it is written whole or not at all. This module alone reads and writes cell files.
"""

import dataclasses
import functools
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from absl import logging

from experiments.config.cell import Cell, Recipe
from experiments.config.columns import check_columns, configuration, flatten, read
from experiments.store import checked_json, records
from mamljax import atomic
from mamljax.audit.metrics import Metrics, Rate
from mamljax.data.loading import FILE
from mamljax.errors import InputError

_HEAD = 2**16  # characters; more than a file has before its trials


class OldLayout(records.Unfit):
  """A cell file from before configurations were nested."""


class Trials(NamedTuple):
  """Trials of the game, in the order played: equally long lists of JSON scalars.

  Attributes:
    scores: the score of the attack in each trial; finite, higher means 'member'.
    members: the truth of each trial.
    tasks: the id of the task on which each trial was played.
    located: true where the learner with the highest score was the challenger's; always true
      in a game with one learner.
  """

  scores: list[float]
  members: list[bool]
  tasks: list[int]
  located: list[bool]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Summary:
  """The result of one finished cell without its trials: the part that a table needs.

  Attributes:
    configuration: the cell, as `columns.configuration` writes it.
    seed: the seed of all randomness.
    versions: versions of Python and the packages; see `provenance.versions`.
    git_revision: the commit of the code; see `provenance.git_revision`.
    device_kind: the kind of device that computed the cell, as JAX names it.
    timings: times in seconds; at least seconds_per_trial (computation only) and
      compile_seconds.
    metrics: the metrics of the reported trials.
    extra: other measurements, such as the accuracy of the learner.
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
    """The cell, made from its configuration.

    Raises:
      InputError: if this version of the program has no such cell any more.
    """
    return read(self.configuration)

  @property
  def hash(self) -> str:
    """The hash that names the cell."""
    return configuration_hash(self.configuration)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellResult(Summary):
  """The whole result of one finished cell.

  Attributes:
    trials: the reported trials.
    calibration: the trials that chose the threshold, which are never reported; empty if the
      threshold was known.
  """

  trials: Trials
  calibration: Trials

  def summary(self) -> Summary:
    """The result without its trials, since the trials of many cells would fill the memory."""
    names = (field.name for field in dataclasses.fields(Summary))
    return Summary(**{name: getattr(self, name) for name in names})


AnySummary = TypeVar('AnySummary', bound=Summary)


def cell_hash(cell: Recipe) -> str:
  """The hash, 16 hexadecimal digits, that names a cell: equal for equal configurations only.

  Raises:
    ValueError: if a field is NaN or infinite.
  """
  return configuration_hash(configuration(cell))


def configuration_hash(configuration: dict[str, Any]) -> str:
  """The hash of a configuration of JSON scalars, whatever the order of its fields.

  1 and 1.0 are different values. A data set in a user's file counts by its content, not by its
  path.
  """
  data = configuration['data']
  if data['fingerprint'] and data['dataset'].startswith(FILE):
    configuration = configuration | {'data': data | {'dataset': FILE}}
  return checked_json.digest(configuration)[:16]


def check_output_dir(path: str | os.PathLike[str]) -> None:
  """Checks that results can be written under `path`; leaves nothing behind.

  Raises:
    InputError: if the folder, or its subfolder for cells, cannot be made or written.
  """
  try:
    for folder in (Path(path), Path(path) / 'cells'):
      tempfile.TemporaryFile(dir=_nearest(folder)).close()
  except OSError as error:
    raise InputError(f'cannot write to the output folder {path}: {error.strerror}') from error


def write_cell(output_dir: str | os.PathLike[str], result: CellResult) -> Path:
  """Writes OUT/cells/<hash>.json, whole or not at all, and returns its path.

  Floats are the same, bit for bit, when they are read again.

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
  atomic.write_text(path, checked_json.document(content))
  return path


def read_cell(output_dir: str | os.PathLike[str], cell: Cell) -> CellResult | None:
  """The result of a finished cell, or None if the cell must be computed (again).

  A damaged file is named in a warning and renamed to <hash>.json.damaged, not deleted.

  Raises:
    InputError: if the file exists but cannot be read or renamed.
  """
  path = _cell_path(output_dir, cell_hash(cell))
  try:
    result = _parse(path.read_bytes(), path.stem)
    return dataclasses.replace(result, configuration=configuration(cell))
  except FileNotFoundError:
    return None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    aside = atomic.set_aside(path)
    logging.warning('%s is damaged (%s): set aside as %s', path, error, aside.name)
    return None


def finished(output_dir: str | os.PathLike[str]) -> set[str]:
  """The hashes of the cells that have a file; the files are not read."""
  return {path.stem for path in (Path(output_dir) / 'cells').glob('*.json')}


def is_finished(output_dir: str | os.PathLike[str], name: str) -> bool:
  """Tests whether the cell of this hash has a file."""
  return _cell_path(output_dir, name).exists()


def read_cells(output_dir: str | os.PathLike[str], hashes: Iterable[str]) -> list[CellResult]:
  """The results of the finished cells of these hashes, in the given order.

  Raises:
    InputError: if a file is missing or damaged.
  """
  return [_read_whole(_cell_path(output_dir, name)) for name in hashes]


def glance(output_dir: str | os.PathLike[str], name: str) -> Summary | None:
  """The summary of the cell of this hash, from the beginning of its file.

  Reading takes as long for a million trials as for one, and the checksum is not verified: for
  the progress of a sweep, not for tables. None if there is no file, or it does not begin as a
  cell file does.

  Raises:
    InputError: if the file cannot be read.
  """
  path = _cell_path(output_dir, name)
  try:
    with path.open(encoding='utf-8', errors='replace') as file:
      head, trials, _ = file.read(_HEAD).partition(',\n "trials": ')
  except FileNotFoundError:
    return None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  try:
    content = records.load_json((head + '}').encode()) if trials else {}
    return _typed(content, Summary)
  except (ValueError, RecursionError):
    return None


def _read_whole(path: Path) -> CellResult:
  """The result in a cell file; an InputError if there is none."""
  try:
    return _parse(path.read_bytes(), path.stem)
  except OldLayout:
    raise InputError(f'{path} is of an older layout of cells: run its sweep again') from None
  except OSError as error:
    raise InputError(f'cannot read {path}: {error.strerror}') from error
  except (ValueError, RecursionError) as error:
    raise InputError(f'{path} is damaged ({error}): run its sweep again') from error


def _parse(data: bytes, name: str) -> CellResult:
  """The result in the bytes of a cell file.

  Raises:
    ValueError: if the file is damaged.
    RecursionError: if the file is damaged.
  """
  result = _typed(checked_json.parse(data), CellResult)
  if result.hash != name:
    raise ValueError('its configuration does not match its name')
  return result


def _typed(content: Any, kind: type[AnySummary]) -> AnySummary:
  """The result, or the summary, that the content of a cell file or its beginning describes."""
  settings = content.get('configuration') if isinstance(content, dict) else None
  if not isinstance(settings, dict):
    raise records.Unfit('it has no configuration')
  if 'dataset' in settings:
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
  """A NamedTuple as a dict; any other value unchanged."""
  return value._asdict() if isinstance(value, (Rate, Trials)) else value


def _cell_path(output_dir: str | os.PathLike[str], name: str) -> Path:
  return Path(output_dir) / 'cells' / f'{name}.json'


def _nearest(folder: Path) -> Path:
  """The folder if it exists, else the nearest parent that exists."""
  try:
    folder.lstat()
  except FileNotFoundError:
    return _nearest(folder.parent)
  return folder
