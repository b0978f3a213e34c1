"""Small files of ours are read into the types that they were written from, or refused."""

import dataclasses
import json
from typing import NamedTuple

import numpy as np
import pytest

from experiments.store import cells, reconstructions, records, trials
from mamljax import atomic
from tests.experiments.test_damaged_files import CELL, NAME, RESULT
from tests.experiments.test_progress import BLOCK
from tests.experiments.tiny import arguments, run, write_npz


class Small(NamedTuple):
  """A record with a field of each kind."""

  whole: int
  numbers: list[float]
  told: dict[str, str | None]
  maybe: bool = False


@pytest.mark.parametrize(
  ('text', 'said'),
  [
    ('{"whole": true, "numbers": [], "told": {}}', 'whole is True: int expected'),
    ('{"whole": 1.0, "numbers": [], "told": {}}', 'whole is 1.0: int expected'),
    ('{"whole": 1, "numbers": [1, "2"], "told": {}}', r"numbers\[1\] is '2': float expected"),
    ('{"whole": 1, "numbers": {}, "told": {}}', 'numbers is a dict: a list expected'),
    ('{"whole": 1, "numbers": [], "told": {"a": 3}}', "'a' of told is 3: str expected"),
    ('{"whole": 1, "numbers": []}', "lacks: 'told'"),
    ('{"whole": 1, "numbers": [], "told": {}, "x": 1}', "has not, or lacks: 'x'"),
    ('{"whole": NaN, "numbers": [], "told": {}}', 'NaN.*: not finite'),
    ('[1, [], {}, false, 5]', 'a list: 4 fields expected'),
  ],
)
def test_a_misfit_says_where_it_is_and_what_was_expected(text, said):
  """'TypeError' says neither; the file is mended by hand, or not at all."""
  with pytest.raises(records.Unfit, match=said):
    records.parse_json(text.encode(), Small)


def test_what_fits_comes_back_as_it_was_written():
  """A reader that refuses good files would lose more than one that takes bad ones."""
  small = Small(-3, [0.1, 2, -0.0], {'a': None, 'ä\udcff': 'b'})
  assert records.parse_json(json.dumps(small._asdict()).encode(), Small) == small
  assert records.parse_json(json.dumps(small).encode(), Small) == small
  assert records.parse_json(b'{"whole": 1, "numbers": [], "told": {}}', Small).maybe is False


def test_an_array_of_another_kind_or_shape_is_no_picture(tmp_path):
  """Strings for pixels were drawn, and ended the sweep after all of its computing."""
  images = np.zeros((2, 3, 3, 1), np.uint8)
  wrong = {'text': images.astype(str), 'flat': images[0], 'floats': images / 2}
  for name, other in wrong.items():
    path = tmp_path / 'examples' / f'{NAME}.npz'
    path.parent.mkdir(exist_ok=True)
    np.savez(path, candidates=images, reconstructions=other)
    assert reconstructions.read_examples(tmp_path, CELL) is None, name
    assert path.with_name(f'{path.name}.damaged').exists()
    path.with_name(f'{path.name}.damaged').unlink()


def test_progress_of_an_older_schema_is_played_again(tmp_path, caplog):
  """A field that was added since stopped the sweep with a KeyError, at every start."""
  keeper = trials.Keeper(tmp_path, 'cell', 'stamp', every=0)
  keeper.keep(5, [BLOCK])
  (path,) = tmp_path.glob('*.npz')
  fields = records.load_arrays(atomic.read_sealed(path), trials._KEPT)
  older = {k: v for k, v in fields.items() if v is not None and k != 'memory_bytes'}
  np.savez(tmp_path / 'older.npz', **older)  # pyright: ignore[reportArgumentType]
  atomic.write_sealed(path, (tmp_path / 'older.npz').read_bytes())
  assert keeper.load(5) == []
  assert 'of another version' in caplog.text
  assert trials.count_trials(tmp_path.parent, 'cell') == 0


def test_a_foreign_cell_in_the_store_does_not_end_a_dry_run(tmp_path):
  """It learns costs from whatever lies there, of another version of the grid, too."""
  npz = write_npz(tmp_path / 'tiny.npz')
  strange = RESULT.configuration | {'of_the_future': 1}
  cells.write_cell(tmp_path / 'out', dataclasses.replace(RESULT, configuration=strange))
  ended = run([*arguments(npz, tmp_path / 'out'), '--dry_run'])
  assert ended.status == 0, ended.err
  assert '1 cells: ' in ended.out
