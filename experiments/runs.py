"""What made a folder of results: OUT/run.json, for the report and for whoever finds it."""

import dataclasses
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax

from experiments import origin, results
from mamljax import atomic
from mamljax.errors import InputError

START = time.monotonic()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
  """A finished command.

  Attributes:
    kind: the module that ran: 'sweep', 'train', 'runtime' or 'identifiability'.
    command: what remakes the folder.
    seconds: wall-clock time, all resumptions added up.
    cells: the hashes of a sweep's cells, in its order.
    store: the folder that they are kept in, from OUT.
    x: the field of a cell that its curves are drawn along; '' for none.
    versions: of Python and the packages.
    git_revision: the commit of the code.
    device_kind, devices: what it ran on, as jax names it, and how many.
  """

  kind: str
  command: str
  seconds: float
  cells: list[str]
  store: str
  x: str
  versions: dict[str, str | None]
  git_revision: str | None
  device_kind: str
  devices: int


def write_run(
  output_dir: Path, *, store_dir: Path | None = None, cells: Sequence[Any] = (), x: str = ''
) -> Run:
  """Writes OUT/run.json for the command that is running, whole or not at all."""
  kind = Path(sys.argv[0]).stem
  path = output_dir / 'run.json'
  before = _parse(path).seconds if path.exists() else 0
  run = Run(
    kind=kind,
    command=shlex.join(['python', '-m', f'experiments.{kind}', *sys.argv[1:]]),
    seconds=before + time.monotonic() - START,
    cells=[results.cell_hash(cell) for cell in cells],
    store=os.path.relpath(store_dir or output_dir, output_dir),
    x=x,
    versions=origin.versions(),
    git_revision=origin.git_revision(),
    device_kind=jax.devices()[0].device_kind,
    devices=jax.device_count(),
  )
  atomic.write_text(path, json.dumps(dataclasses.asdict(run), indent=1) + '\n')
  return run


def check_run(output_dir: Path) -> None:
  """Makes sure that a run.json in a folder, if there is one, may be replaced.

  Raises:
    InputError: if it is not one of ours.
  """
  path = output_dir / 'run.json'
  if path.exists():
    _parse(path)


def find_runs(output_dir: str | os.PathLike[str]) -> Iterator[tuple[Path, Run]]:
  """The folders of results in a folder, itself first, each with what made it.

  Raises:
    InputError: if a run.json is not one of ours.
  """
  folder = Path(output_dir)
  for path in sorted({*folder.glob('run.json'), *folder.glob('*/run.json')}):
    yield path.parent, _parse(path)


def _parse(path: Path) -> Run:
  try:
    return Run(**json.loads(path.read_bytes()))
  except (OSError, ValueError, TypeError) as error:
    raise InputError(f'{path} does not describe a run of ours: {error}') from error
