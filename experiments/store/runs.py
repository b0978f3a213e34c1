"""What made a folder of results: OUT/run.json, for the report and for whoever finds it."""

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

# Flags that say how a command is run, and not what it makes.
_HOW = ('num_shards', 'shard', 'distributed', 'save_seconds', 'lease_seconds', 'max_failures')
_WHERE = ('output_dir', 'store_dir', 'data_dir')
_DEPTHS = ('', '*/', '*/*/')  # OUT, OUT/quickstart, OUT/paper/table1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A finished command.

  Attributes:
    kind: the module that ran: 'sweep', 'train', 'runtime' or 'identifiability'.
    command: what remakes the folder.
    seconds: wall-clock time, all resumptions of this command added up.
    cells: the hashes of a sweep's cells, in its order.
    store: the folder that they are kept in, from OUT.
    x: the field of a cell that its curves are drawn along; '' for none.
    versions: of Python and the packages.
    git_revision: the commit of the code.
    device_kind, devices: what it ran on, as jax names it, and how many.
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
  """Writes OUT/run.json for the command that is running, whole or not at all."""
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
  before = find_run(output_dir)
  if before and _is_same(before.command, run.command) and {*before.cells} <= {*run.cells}:
    run = dataclasses.replace(run, seconds=before.seconds + run.seconds)
  text = json.dumps(dataclasses.asdict(run), indent=1)
  atomic.write_text(output_dir / 'run.json', f'{text}\n')
  return run


def command() -> str:
  """What remakes what the running command makes: its share of a sweep, say, is left out."""
  told = _without(_HOW, sys.argv[1:])
  return shlex.join(['python', '-m', f'experiments.{_kind()}', *told])


def _is_same(one: str, other: str) -> bool:
  """Whether two commands ask the same, wherever their folders have been moved to."""
  return _without(_WHERE, _words(one)) == _without(_WHERE, _words(other))


def _words(told: str) -> list[str]:
  """The words of a command, as far as it is one."""
  try:
    return shlex.split(told)
  except ValueError:
    return [told]


def _without(names: Sequence[str], arguments: Sequence[str]) -> list[str]:
  """A command line without some of its flags, in whichever way they are written."""
  told, skips = [], False
  for argument in arguments:
    name, _, value = argument.lstrip('-').partition('=')
    named = argument.startswith('-') and name in names
    told += [] if named or skips else [argument]
    skips = named and not value
  return told


def relate(store_dir: Path, output_dir: Path) -> str:
  """A store as it is found from an output folder, whatever links lead to both of them."""
  return os.path.relpath(store_dir.resolve(), output_dir.resolve())


def begin(output_dir: Path, *tables: str) -> None:
  """Makes sure that a command may put its results into a folder.

  The tables of another command of the same kind, and its run.json, are kept beside: renamed
  to `<name>.replaced`.

  Raises:
    InputError: if the folder has the results of another kind of command, or a run.json that is
      not one of ours.
  """
  check_kind(output_dir)
  before = find_run(output_dir)
  if before and not _is_same(before.command, command()):
    keep_replaced(output_dir, *tables, reason='another command')


def check_kind(output_dir: Path) -> None:
  """Makes sure that the results in a folder, if there are any, are of this kind of command.

  Raises:
    InputError: if they are not, or its run.json is not one of ours.
  """
  run = find_run(output_dir)
  if run and run.kind != _kind():
    raise InputError(
      f'{output_dir} holds the results of another command ({run.command}): give another '
      '--output_dir'
    )


def keep_replaced(output_dir: Path, *tables: str, reason: str) -> None:
  """Renames what is going to be replaced in a folder, and says so."""
  for name in (*tables, 'run.json'):
    path = output_dir / name
    if path.exists():
      aside = atomic.set_aside(path, reason='replaced')
      logging.warning('%s is of %s: kept as %s', path, reason, aside.name)


def find_run(output_dir: Path) -> Run | None:
  """What made a folder; None if nothing did.

  Raises:
    InputError: if its run.json is not one of ours.
  """
  try:
    return _parse(output_dir / 'run.json')
  except FileNotFoundError:
    return None


def find_runs(output_dir: str | os.PathLike[str]) -> Iterator[tuple[Path, Run]]:
  """The folders of results in a folder, itself included, each with what made it.

  Raises:
    InputError: if a run.json is not one of ours.
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
