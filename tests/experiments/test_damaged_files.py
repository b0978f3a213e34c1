"""Whatever is in a small file, its reader says so in a line: no traceback, no lost sweep."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from experiments import status
from experiments.analysis import results_csv
from experiments.store import cells, failures, leases, reconstructions, runs, trials
from experiments.store.claims import Holder
from experiments.studies import sweep_times
from experiments.sweeping import cost, plan
from mamljax import atomic
from mamljax.errors import InputError
from tests.experiments.configurations import changed as with_changes
from tests.experiments.reported import make_result, write_pictures, write_run
from tests.experiments.test_progress import BLOCK

RESULT = make_result(trials=4, calibration_trials=2)
CELL = RESULT.cell
NAME = cells.cell_hash(CELL)
OPEN = with_changes(CELL, ways=7)  # of the same plan, not finished
FEW = 60  # mutants of each kind

# What a field may be instead, and texts that are no JSON of ours at all.
VALUES = [
  *(
    None,
    True,
    -1,
    0,
    7.5,
    1e308,
    10**30,
    '',
    'x',
    'x\0y',
    '../../x',
    'a "b',
    '\udcff',
    [],
    {},
    [[]],
  ),
  *({'a': 1}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
]
TEXTS = [
  *(b'', b'null', b'3', b'[]', b'{}', b'"x"', b'\xff', b'{"a": NaN}', b'{"a": 1e999}'),
  *(b'[' * 100_000, b'{"a":' * 100_000, b'\xef\xbb\xbf{}', b'{"a": 1, "a": 2}', b'\0' * 99),
]


def sealed(data: bytes) -> bytes:
  """A mutant of what a checksum protects, as other code of ours might have written it."""
  return hashlib.sha256(data).digest() + data  # earlier versions wrote no more


def signed(data: bytes) -> bytes:
  """A mutant of a cell, under the checksum that is right for it."""
  try:
    content = json.loads(data)
    del content['checksum']
    text = json.dumps(content, sort_keys=True, separators=(',', ':'))
  except (ValueError, TypeError, KeyError, RecursionError):
    return data
  checksum = hashlib.sha256(text.encode()).hexdigest()
  return json.dumps({'checksum': checksum, **content}, indent=1).encode()


class Reader(NamedTuple):
  """A file of a sweep, and all that reads it.

  Attributes:
    path: of the file, from OUT.
    read: all its readers.
    seal: what a mutant is written as.
  """

  path: str
  read: Callable[[Path], Any]
  seal: Callable[[bytes], bytes] = bytes


def look(folder: Path) -> None:
  status.report(folder, lease=60)


def claim(folder: Path) -> None:
  look(folder)
  mine = leases.Claims(folder, lease=60)
  mine.take(cells.cell_hash(OPEN))
  mine.holders([cells.cell_hash(OPEN)])
  mine.undecided([cells.cell_hash(OPEN)])
  mine.release(cells.cell_hash(OPEN))


def fail(folder: Path) -> None:
  look(folder)
  assert failures.record(folder, cells.cell_hash(OPEN), 'x', ValueError()).times > 0


def cell(folder: Path) -> None:
  look(folder)
  summary = cells.glance(folder, NAME)
  cost.fit([summary] if summary else []).expect(OPEN)
  cells.read_cell(folder, CELL)


def pictures(folder: Path) -> None:
  if found := reconstructions.read_examples(folder, CELL):
    assert found.candidates.shape == found.reconstructions.shape
    assert found.candidates.ndim == 4


def kept(folder: Path) -> None:
  look(folder)
  keeper = trials.Keeper(
    trials.progress_folder(folder), cells.cell_hash(OPEN), 'stamp', every=0
  )
  for block in keeper.load(5):
    keeper.keep(5, [block, block])


def table(folder: Path) -> None:
  results_csv.update_csv(folder, [RESULT], [CELL])


def made(folder: Path) -> None:
  for _, told in runs.find_runs(folder):
    runs._is_same(told.command, 'python -m experiments.sweep')


READERS = {
  'claim': Reader(f'claims/{cells.cell_hash(OPEN)}.json', claim),
  'failure': Reader(f'failures/{cells.cell_hash(OPEN)}.json', fail),
  'plan': Reader('plan.json', look),
  'run': Reader('run.json', made),
  'cell': Reader(f'cells/{NAME}.json', cell),
  'signed cell': Reader(f'cells/{NAME}.json', cell, signed),
  'examples': Reader(f'examples/{NAME}.npz', pictures),
  'progress': Reader(f'progress/{cells.cell_hash(OPEN)}_5.npz', kept, sealed),
  'table': Reader('results.csv', table),
  'growth': Reader('growth.csv', lambda folder: sweep_times._read(folder / 'growth.csv')),
}


@pytest.fixture
def folder(tmp_path) -> Path:
  """An output folder with one of each file."""
  out = tmp_path / 'out'
  cells.write_cell(out, RESULT)
  write_pictures(out, RESULT)
  results_csv.write_csv(out, [RESULT])
  write_run(out, 'sweep', cells=[NAME])
  plan.write(out, out, [CELL, OPEN], cost.fit([]))
  failures.record(out, cells.cell_hash(OPEN), 'x', ValueError('why'))
  keeper = trials.Keeper(trials.progress_folder(out), cells.cell_hash(OPEN), 'stamp', every=0)
  keeper.keep(5, [BLOCK])
  (out / 'claims').mkdir()
  elsewhere = Holder('host', 'machine', 1, 'born', '')._asdict()
  (out / 'claims' / f'{cells.cell_hash(OPEN)}.json').write_text(json.dumps(elsewhere))
  atomic.write_text(
    out / 'growth.csv', sweep_times.table([sweep_times.Point(1, 1, 100, 1.5, 1.0, 0.5)])
  )
  return out


@pytest.mark.parametrize('name', READERS)
def test_no_content_of_a_file_is_a_traceback(folder, name):
  """One bad byte in a claim, or a wrong type in a record, ended a sweep with status 1."""
  reader = READERS[name]
  path = folder / reader.path
  original = path.read_bytes()
  content = atomic.read_sealed(path) if reader.seal is sealed else original
  for mutant in [*TEXTS, *damaged(content, FEW), *changed(content, FEW)]:
    path.write_bytes(reader.seal(mutant))
    said = read(reader, folder, mutant)
    assert '\n' not in said
    assert len(said) < 1000
  path.write_bytes(original)
  reader.read(folder)


def read(reader: Reader, folder: Path, mutant: bytes) -> str:
  """What is said of it: a clear line; nothing, if the content happens to be good."""
  try:
    reader.read(folder)
  except InputError as error:
    return str(error)
  except Exception as error:
    raise AssertionError(f'{type(error).__name__}: {error}: {mutant[:2000]!r}') from error
  return ''


def damaged(data: bytes, count: int) -> Iterator[bytes]:
  """Bytes changed, left out, put in, and the end cut off."""
  chance = random.Random(len(data))
  for _ in range(count):
    at, end = sorted(chance.randrange(len(data)) for _ in range(2))
    yield chance.choice(
      [
        data[:at],
        data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
        data[:at] + data[end:],
        data[:at] + chance.choice(TEXTS)[:99] + data[at:],
      ]
    )


def changed(data: bytes, count: int) -> Iterator[bytes]:
  """JSON with another value, a field less or a field more, anywhere; none of other files."""
  chance = random.Random(len(data))
  try:
    json.loads(data)
  except ValueError:
    return
  for _ in range(count):
    content = json.loads(data)
    place, key = chance.choice([*places(content)])
    if chance.random() < 0.7:
      place[key] = chance.choice(VALUES)
    elif isinstance(place, dict) and chance.random() < 0.3:
      place['surprise'] = chance.choice(VALUES)
    else:
      del place[key]
    yield json.dumps(content).encode()


def places(content: Any) -> Iterator[tuple[Any, Any]]:
  """Every place of a JSON value in which another may stand."""
  inside = content.items() if isinstance(content, dict) else enumerate(content)
  for key, value in inside:
    yield content, key
    if isinstance(value, (dict, list)):
      yield from places(value)
