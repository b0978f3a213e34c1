"""Records of the commands that made folders of results: OUT/run.json."""

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import jax
from absl import logging

from experiments.process import provenance
from experiments.store import records
from experiments.store.cells import cell_hash
from mamljax import atomic
from mamljax.errors import InputError

START = time.monotonic()

# Flags that change how a command runs, but not its results; and flags that name folders.
_OPERATION = (
  'num_shards',
  'shard',
  'distributed',
  'save_seconds',
  'lease_seconds',
  'max_failures',
)
_FOLDERS = ('output_dir', 'store_dir', 'data_dir')
_DEPTHS = ('', '*/', '*/*/')  # OUT, OUT/quickstart, OUT/paper/table1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A finished command.

  Attributes:
    kind: the module that ran, such as 'sweep', 'train', 'runtime' or 'identifiability'.
    command: the command that makes the folder again.
    seconds: wall-clock time, summed over all resumptions of the command.
    cells: the hashes of the cells of a sweep, in the order of the sweep.
    store: the path, relative to OUT, of the folder with the files of the cells.
    x: the field of a cell on the x axis of the curves; '' without curves.
    versions: versions of Python and the packages.
    git_revision: the commit of the code.
    device_kind: the kind of the devices, as JAX names it.
    devices: number of devices.
  """

  kind: str
  command: str
  seconds: Annotated[float, 0]
  cells: list[Annotated[str, records.NAME]]
  store: Annotated[str, records.PATH]
  x: str
  versions: dict[str, str | None]
  git_revision: str | None
  device_kind: str
  devices: Annotated[int, 1]


def write_run(
  output_dir: Path, *, store_dir: Path | None = None, cells: Sequence[Any] = (), x: str = ''
) -> Run:
  """Writes OUT/run.json for the running command, whole or not at all."""
  run = Run(
    kind=_kind(),
    command=command(),
    seconds=time.monotonic() - START,
    cells=[cell_hash(cell) for cell in cells],
    store=relate(store_dir or output_dir, output_dir),
    x=x,
    versions=provenance.versions(),
    git_revision=provenance.git_revision(),
    device_kind=jax.devices()[0].device_kind,
    devices=jax.device_count(),
  )
  earlier = find_run(output_dir)
  if earlier and _is_same(earlier.command, run.command) and {*earlier.cells} <= {*run.cells}:
    run = dataclasses.replace(run, seconds=earlier.seconds + run.seconds)
  text = json.dumps(dataclasses.asdict(run), indent=1)
  atomic.write_text(output_dir / 'run.json', f'{text}\n')
  return run


def command() -> str:
  """The command that makes the results of the running command again.

  Flags that only concern how the command runs, such as its share of a sweep, are left out.
  """
  arguments = _without(_OPERATION, sys.argv[1:])
  return shlex.join(['python', '-m', f'experiments.{_kind()}', *arguments])


def _is_same(one: str, other: str) -> bool:
  """Tests whether two commands are equal apart from the folders that they name."""
  return _without(_FOLDERS, _words(one)) == _without(_FOLDERS, _words(other))


def _words(command: str) -> list[str]:
  """The words of a command; the text as a single word if it cannot be split."""
  try:
    return shlex.split(command)
  except ValueError:
    return [command]


def _without(names: Sequence[str], arguments: Sequence[str]) -> list[str]:
  """A command line without some of its flags, written as --name=value or --name value."""
  remaining, skips = [], False
  for argument in arguments:
    name, _, value = argument.lstrip('-').partition('=')
    is_named = argument.startswith('-') and name in names
    remaining += [] if is_named or skips else [argument]
    skips = is_named and not value
  return remaining


def relate(store_dir: Path, output_dir: Path) -> str:
  """The path of a store relative to an output folder, with symbolic links resolved."""
  return os.path.relpath(store_dir.resolve(), output_dir.resolve())


def begin(output_dir: Path, *tables: str) -> None:
  """Prepares a folder for the results of the running command.

  If another command of the same kind made the folder, its tables and its run.json are renamed
  to `<name>.replaced`.

  Raises:
    InputError: if another kind of command made the folder, or its run.json is damaged.
  """
  check_kind(output_dir)
  earlier = find_run(output_dir)
  if earlier and not _is_same(earlier.command, command()):
    keep_replaced(output_dir, *tables, reason='another command')


def check_kind(output_dir: Path) -> None:
  """Checks that the results in a folder, if there are any, are of this kind of command.

  Raises:
    InputError: if another kind of command made the folder, or its run.json is damaged.
  """
  run = find_run(output_dir)
  if run and run.kind != _kind():
    raise InputError(
      f'{output_dir} holds the results of another command ({run.command}): give another '
      '--output_dir'
    )


def keep_replaced(output_dir: Path, *tables: str, reason: str) -> None:
  """Renames the files of a folder that will be replaced, with a warning for each."""
  for name in (*tables, 'run.json'):
    path = output_dir / name
    if path.exists():
      aside = atomic.set_aside(path, reason='replaced')
      logging.warning('%s is of %s: kept as %s', path, reason, aside.name)


def find_run(output_dir: Path) -> Run | None:
  """The record of the command that made a folder; None if there is none.

  Raises:
    InputError: if the run.json of the folder is damaged.
  """
  try:
    return _parse(output_dir / 'run.json')
  except FileNotFoundError:
    return None


def find_runs(output_dir: str | os.PathLike[str]) -> Iterator[tuple[Path, Run]]:
  """The folders of results in a folder, itself included, each with its record.

  Raises:
    InputError: if a run.json is damaged.
  """
  folder = Path(output_dir)
  for path in sorted(path for depth in _DEPTHS for path in folder.glob(f'{depth}run.json')):
    if run := find_run(path.parent):
      yield path.parent, run


def _kind() -> str:
  return Path(sys.argv[0]).stem


def _parse(path: Path) -> Run:
  try:
    return records.read_json(path, Run)
  except FileNotFoundError:
    raise
  except (OSError, records.Unfit) as error:
    raise InputError(f'{path} does not describe a run of ours: {error}') from error
