"""Cell files come back exactly or are set aside."""

import hashlib
import json
import math
import re

import numpy as np
import pytest

from experiments.config.columns import configuration
from experiments.process import provenance
from experiments.store import cells as cell_files
from mamljax.audit.metrics import Metrics, Rate
from mamljax.errors import InputError
from tests.experiments.configurations import make


def make_result(cell=None, **changes):
  cell = cell or make()
  scores = np.random.default_rng(0).normal(size=6).astype(np.float32).tolist()
  fields = {
    'configuration': configuration(cell),
    'seed': cell.seed,
    'versions': provenance.versions(),
    'git_revision': None,
    'device_kind': 'cpu',
    'timings': {'seconds_per_trial': 0.1 + 0.2, 'compile_seconds': 12.5},
    'metrics': Metrics(
      Rate(0.95, 0.9, 0.98), Rate(0.9, 0.8, 0.97), None, Rate(0.99, 0.98, 1.0), 0.5, None, 1 / 3
    ),
    'trials': cell_files.Trials(scores[:4], [True, False] * 2, [0, 1, 2, 3], [True] * 4),
    'calibration': cell_files.Trials(scores[4:], [True, False], [4, 5], [True, False]),
    'extra': {'label_accuracy': 0.9},
  }
  return cell_files.CellResult(**fields | changes)


def warnings(caplog):
  return [record.getMessage() for record in caplog.records]


def test_a_result_comes_back_exactly(tmp_path):
  """Scores that change their last bit on disk could change a decision on resume."""
  result = make_result()
  path = cell_files.write_cell(tmp_path, result)
  assert path == tmp_path / 'cells' / f'{cell_files.cell_hash(make())}.json'
  assert cell_files.read_cell(tmp_path, make()) == result


@pytest.mark.parametrize('value', [1 / 3, 5e-324, -0.0, 1.7976931348623157e308, 0.1 + 0.2])
def test_every_float_comes_back_bit_for_bit(tmp_path, value):
  """JSON written with too few digits would round."""
  trials = cell_files.Trials([value], [True], [0], [True])
  cell_files.write_cell(tmp_path, make_result(trials=trials))
  read = cell_files.read_cell(tmp_path, make())
  assert read is not None
  assert read.trials.scores[0].hex() == value.hex()


def test_a_missing_cell_is_none(tmp_path):
  """A first run finds nothing, and must not warn."""
  assert cell_files.read_cell(tmp_path / 'never', make()) is None


def test_hash_is_that_of_the_canonical_json():
  """Resuming after an update of Python or of the code must find the old cells."""
  told = configuration(make())
  canonical = json.dumps(told, sort_keys=True, separators=(',', ':')).encode()
  assert cell_files.cell_hash(make()) == hashlib.sha256(canonical).hexdigest()[:16]
  backwards = dict(reversed([*told.items()]))
  assert cell_files.configuration_hash(backwards) == cell_files.cell_hash(make())


def test_nan_never_reaches_a_file(tmp_path):
  """NaN is not JSON: other readers would fail on the file."""
  trials = cell_files.Trials([math.nan], [True], [0], [True])
  with pytest.raises(ValueError, match='not JSON compliant'):
    cell_files.write_cell(tmp_path, make_result(trials=trials))
  assert not list(tmp_path.rglob('*.json'))


def test_truncation_at_every_byte_is_damage(tmp_path):
  """A half-written cell must be recomputed, never half-believed."""
  small = cell_files.Trials([0.5], [True], [0], [True])
  path = cell_files.write_cell(tmp_path, make_result(trials=small, calibration=small))
  data = path.read_bytes()
  for size in range(len(data)):
    path.write_bytes(data[:size])
    assert cell_files.read_cell(tmp_path, make()) is None
    aside = path.with_name(f'{path.name}.damaged')
    assert aside.read_bytes() == data[:size]
    aside.unlink()


def test_every_edited_digit_is_damage(tmp_path):
  """A score edited by hand, or by a failing disk, must not enter a table."""
  path = cell_files.write_cell(tmp_path, make_result())
  text = path.read_text()
  for match in re.finditer(r'\d', text):
    digit = str((int(match[0]) + 1) % 10)
    path.write_text(text[: match.start()] + digit + text[match.end() :])
    assert cell_files.read_cell(tmp_path, make()) is None
    (aside,) = path.parent.glob('*.damaged')
    aside.unlink()


def test_damage_is_named_once_and_set_aside(tmp_path, caplog):
  """One line with the file and where it went; nothing deleted; the cell recomputed."""
  path = cell_files.write_cell(tmp_path, make_result())
  text = path.read_text()
  path.write_text(text.replace('0.95', '0.96'))
  assert cell_files.read_cell(tmp_path, make()) is None
  (warning,) = warnings(caplog)
  assert str(path) in warning
  assert f'{path.name}.damaged' in warning
  assert '\n' not in warning
  assert cell_files.read_cell(tmp_path, make()) is None  # now merely absent
  assert len(warnings(caplog)) == 1
  cell_files.write_cell(tmp_path, make_result())
  assert path.read_text() == text


def rewrite(path, edit):
  """Edits the file's content, and puts it under the checksum that is right for it."""
  content = json.loads(path.read_text())
  del content['checksum']
  edit(content)
  text = json.dumps(content, sort_keys=True, separators=(',', ':'))
  checksum = hashlib.sha256(text.encode()).hexdigest()
  path.write_text(json.dumps({'checksum': checksum, **content}, indent=1))


@pytest.mark.parametrize(
  'edit',
  [
    lambda content: content.pop('metrics'),
    lambda content: content.pop('configuration'),
    lambda content: content.pop('device_kind'),
    lambda content: content['trials'].pop('tasks'),
    lambda content: content['trials'].pop('located'),
    lambda content: content['metrics'].pop('auc'),
    lambda content: content['configuration'].update(ways=5),
    lambda content: content.update(surprise=1),
    lambda content: content.update(configuration=None),
    lambda content: content.update(metrics=[]),
  ],
)
def test_another_shape_of_file_is_damage(tmp_path, edit, caplog):
  """A file of another version, or under another cell's name, must not end the sweep."""
  path = cell_files.write_cell(tmp_path, make_result())
  rewrite(path, edit)
  assert cell_files.read_cell(tmp_path, make()) is None
  assert path.with_name(f'{path.name}.damaged').exists()
  assert len(warnings(caplog)) == 1


@pytest.mark.parametrize('text', ['', 'null', '[]', '3', '{}', '\x80', '{"checksum": NaN}'])
def test_any_json_that_is_no_cell_is_damage(tmp_path, text):
  """Whatever the bytes, the sweep goes on."""
  path = cell_files.write_cell(tmp_path, make_result())
  path.write_bytes(text.encode('latin-1'))
  assert cell_files.read_cell(tmp_path, make()) is None
  assert not path.exists()


def test_a_cell_that_cannot_be_read_is_no_damage(tmp_path):
  """Permissions, say: the content may be whole, so it is neither moved nor recomputed."""
  (tmp_path / 'cells' / f'{cell_files.cell_hash(make())}.json').mkdir(parents=True)
  with pytest.raises(InputError, match=r'cannot read .*json: Is a directory'):
    cell_files.read_cell(tmp_path, make())


@pytest.mark.parametrize('folder', ['file', 'file/deeper', 'occupied'])
def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path, folder):
  """One line that names the folder, however late it is found out."""
  (tmp_path / 'file').write_text('kept')
  (tmp_path / 'occupied').mkdir()
  (tmp_path / 'occupied' / 'cells').write_text('kept')
  with pytest.raises(InputError, match=str(tmp_path / folder)) as caught:
    cell_files.write_cell(tmp_path / folder, make_result())
  assert '\n' not in str(caught.value)
  assert not list(tmp_path.rglob('*.tmp'))


def test_cells_are_read_by_name_in_the_order_asked_for(tmp_path):
  """A report draws from them: a missing or damaged one must be named, not left out."""
  cells = [make(ways=ways) for ways in (7, 3)]
  paths = [cell_files.write_cell(tmp_path, make_result(cell)) for cell in cells]
  hashes = [*map(cell_files.cell_hash, cells)]
  found = cell_files.read_cells(tmp_path, reversed(hashes))
  assert [result.columns['ways'] for result in found] == [3, 7]
  paths[0].write_text(paths[0].read_text().replace('0.95', '0.96'))
  with pytest.raises(InputError, match=rf'{paths[0]} is damaged .*: run its sweep again'):
    cell_files.read_cells(tmp_path, hashes)
  paths[0].unlink()
  with pytest.raises(InputError, match=f'cannot read {paths[0]}'):
    cell_files.read_cells(tmp_path, hashes)


def test_a_glance_reads_all_but_the_trials(tmp_path):
  """The status of a large sweep and its expected costs rest on it."""
  result = make_result()
  cell_files.write_cell(tmp_path, result)
  assert cell_files.glance(tmp_path, cell_files.cell_hash(make())) == result.summary()


def test_a_glance_takes_no_longer_for_more_trials(tmp_path, monkeypatch):
  """10,000 cells of 10,000 trials are 5 GB, which the status must not read."""
  many = cell_files.Trials([0.5] * 9999, [True] * 9999, [0] * 9999, [True] * 9999)
  path = cell_files.write_cell(tmp_path, make_result(trials=many))
  monkeypatch.setattr(cell_files, '_HEAD', path.read_text().index('"trials": {') + 20)
  assert cell_files.glance(tmp_path, path.stem) == make_result(trials=many).summary()


@pytest.mark.parametrize('text', ['', 'null', '{', '{},\n "trials": ', '{"checksum": 1\x80'])
def test_a_glance_at_what_is_no_cell_is_none(tmp_path, text):
  """Whoever only looks on must not stumble over a damaged file."""
  path = cell_files.write_cell(tmp_path, make_result())
  path.write_bytes(text.encode('latin-1'))
  assert cell_files.glance(tmp_path, path.stem) is None


def test_what_a_summary_holds_does_not_grow_with_the_trials():
  """A sweep keeps one for each cell until its table is written."""
  many = cell_files.Trials([0.5] * 9999, [True] * 9999, [0] * 9999, [True] * 9999)
  small, large = make_result().summary(), make_result(trials=many).summary()
  assert small == large
  assert type(large) is cell_files.Summary
