"""The report says what the cells say, all of it and nothing else, in one file."""

import base64
import csv
import dataclasses
import doctest
import io
from pathlib import Path

import pytest
from PIL import Image

from experiments.reporting import wording
from experiments.reporting.page import make_page
from experiments.reporting.writing import files, render, write_report
from mamljax.errors import InputError
from tests.experiments.reported import (
  REVISION,
  Opened,
  make_result,
  tree,
  write_measured,
  write_pictures,
  write_run,
  write_sweep,
)
from tests.experiments.tiny import finish, start

RUNTIMES = 'target,data_size,seconds_one,paper_seconds\nquery,3,0.5,1.34\nquery,20,2.25,\n'
LEARNING = (
  'dataset,ways,epoch,accuracy,accuracy_low,accuracy_high\n'
  'mnist,5,0,0.2,0.15,0.25\nmnist,5,1,0.5678,0.5,0.6\n'
)


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
  """A run of every kind; read only but for the report."""
  out = tmp_path_factory.mktemp('out')
  cells = [
    make_result(ways=ways, shots=shots, target=target)
    for target in ('query', 'support')
    for ways, shots in ((3, 1), (4, 1), (5, 2))
  ]
  write_sweep(out / 'table2', cells)
  write_pictures(out / 'table2', cells[0])
  learned = {'epoch': 0, 'accuracy': 0.8, 'low': 0.75, 'high': 0.85, 'tasks': 9}
  write_sweep(
    out / 'paper' / 'figure9_12',
    [make_result(ways=ways, extra={'learning': learned}) for ways in range(2, 13)],
    x='ways',
  )
  write_measured(out / 'table3_4', 'runtime', 'runtimes', RUNTIMES)
  write_measured(out / 'learning_quick', 'train', 'learning', LEARNING)
  write_measured(out / 'figure13', 'identifiability', 'identifiability', 'a,b\nx,1e-17\n')
  write_report(out, title='Title')
  return out


@pytest.fixture(scope='module')
def page(folder: Path) -> Opened:
  """The report on these runs."""
  return Opened((folder / 'report.html').read_text())


def report(folder: Path) -> Opened:
  """Written anew."""
  return Opened(write_report(folder, title='Title').read_text())


def rows(page: Opened, *start: str) -> list[list[str]]:
  """The rows of all tables that start with these fields."""
  found = (row for table in page.tables for row in table if row[: len(start)] == [*start])
  return list(found)


@pytest.mark.parametrize(('ways', 'shots'), [(3, 1), (4, 1), (5, 2)])
def test_a_row_holds_the_numbers_of_its_cell(page, ways, shots):
  """A number of another cell, or a wrong interval, is what a report must never show."""
  metrics = make_result(ways=ways, shots=shots).metrics
  row = rows(page, str(ways), str(shots))[0]
  for first, rate in ((2, metrics.accuracy), (7, metrics.auc)):
    assert row[first] == f'{rate.value:.3f}'
    assert row[first + 1] == f'[{rate.low:.2f}, {rate.high:.2f}]'


def test_the_paper_stands_beside_its_own_cells_only(page):
  """4-way and 5-way with noise are not in the paper; 3-way 1-shot prints 0.92."""
  ours = make_result(ways=3).metrics.accuracy.value
  printed, apart = rows(page, '3', '1')[0][4:6]
  assert (printed, apart) == ('0.92', f'{ours - 0.92:+.2f}'.replace('-', '\N{MINUS SIGN}'))
  assert rows(page, '4', '1')[0][4:7] == ['\N{EN DASH}'] * 3


@pytest.mark.parametrize(('apart', 'said'), [(2, 'higher'), (0, 'lower'), (1, 'agrees')])
def test_the_verdict_is_about_the_interval(tmp_path, apart, said):
  """'Agrees' outside the interval would be a false claim of reproduction."""
  result = make_result(apart=apart, trials=400, shots=2)
  ours, printed = result.metrics.accuracy, 0.71
  agrees = ours.low <= printed <= ours.high
  assert said == ('agrees' if agrees else 'higher' if ours.low > printed else 'lower')
  write_sweep(tmp_path / 'a', [result])
  assert rows(report(tmp_path), '3', '2')[0][6].endswith(said)


def test_runs_stand_in_the_order_of_the_paper(page):
  """Tables, then figures, however deep their folders: 'figure13' sorts before 'table2'."""
  anchors = [id[4:] for id in page.all('id') if id.startswith('run-') and 'table-' not in id]
  assert anchors == ['table2', 'table3_4', 'paper-figure9_12', 'figure13', 'learning']


def test_one_file_is_enough(page):
  """Sent by mail, or opened without a network, nothing may be missing."""
  assert all(source.startswith('data:') for source in page.all('src'))
  ids = page.all('id')
  assert len(ids) == len(set(ids))
  for link in page.all('href'):
    assert link == 'data:,' or link.removeprefix('#') in ids
  assert not {'script', 'iframe', 'object', 'embed'} & {tag for tag, _ in page.elements}


def test_every_picture_is_whole_and_said_in_words(page):
  """A picture without words does not exist for who cannot see it."""
  pictures = [attrs for tag, attrs in page.elements if tag == 'img']
  assert len(pictures) > 8
  for attrs in pictures:
    assert len(attrs['alt']) > 20
    with Image.open(io.BytesIO(base64.b64decode(attrs['src'].partition(',')[2]))) as image:
      image.load()


def test_pictures_and_tables_lie_beside_the_page(folder):
  """Whoever quotes a number or a figure takes it from there."""
  written = tree(folder / 'report')
  assert {name for name in written if name.endswith('.csv')} == {
    *('headline.csv', 'runs.csv', 'table2_table.csv', 'table3_4_table.csv'),
    *('paper-figure9_12_table.csv', 'figure13_table.csv', 'learning_table.csv'),
  }
  assert {name for name in written if name.endswith('.png')} == {
    *('table2_picture.png', 'table2_roc_1.png', 'table2_roc_2.png'),
    *(
      'table2_reconstructions_1.png',
      'paper-figure9_12_curves.png',
      'paper-figure9_12_roc_1.png',
    ),
    *('table3_4_runtimes.png', 'figure13_identifiability.png', 'learning_learning.png'),
  }
  lines = [*csv.DictReader(io.StringIO(written['table2_table.csv'].decode()))]
  assert [float(line['accuracy']) for line in lines[:3]] == [
    make_result(ways=ways, shots=shots).metrics.accuracy.value
    for ways, shots in ((3, 1), (4, 1), (5, 2))
  ]


def test_reconstructions_are_shown_with_truth_and_decision(page):
  """A picture convinces only beside what the attack made of it."""
  result = make_result()
  said = page.text[page.text.index('Reconstructions') :]
  for score, member in [*zip(result.trials.scores, result.trials.members, strict=True)][:4]:
    called = score > result.metrics.threshold
    names = ['member' if truth else 'non-member' for truth in (member, called)]
    mark = '\N{CHECK MARK}' if member == called else '\N{BALLOT X}'
    assert f'{names[0]} SSIM {score:.2f} {mark} called {names[1]}' in said


def test_curves_are_a_table_too_with_what_was_learned(page):
  """The numbers of a curve cannot be read off a picture."""
  found = rows(page, '12')
  assert len(found) == 1
  assert '0.800' in found[0]
  assert '[0.75, 0.85]' in found[0]
  assert 'attack accuracy' in page.text.lower()  # the trend, in words


def test_crowded_roc_panels_say_so(page):
  """Eleven lines cannot be told apart; what is left out must be said."""
  assert '9 of 11 cells' in page.text


def test_measurements_are_rounded_and_joined(page):
  """Sixteen digits say nothing; what every line shares is told once."""
  assert rows(page, '3', '0.50') == [['3', '0.50', '1.34']]
  assert rows(page, '20') == [['20', '2.25', '\N{EN DASH}']]
  assert 'In every line: target query set.' in page.text
  assert rows(page, '1')[0] == ['1', '0.568', '[0.50, 0.60]']
  assert rows(page, 'x') == [['x', '1e-17']]


def test_provenance_is_complete(page):
  """Who cannot remake a number cannot trust it."""
  line = rows(page, 'table2')[0]
  assert line == [
    'table2',
    '6',
    '40',
    '20',
    '0',
    '2 \N{MULTIPLICATION SIGN} cpu',
    '1 h 07 min',
    REVISION[:12],
  ]
  assert 'python 3.11.0, jax 0.7.0.' in page.text
  for name in ('table2', 'figure9_12'):
    assert f'python -m experiments.sweep --output_dir={name}' in page.text


def test_what_is_missing_is_left_out(tmp_path):
  """An interrupted run, or one without pictures, is reported as far as it goes."""
  write_run(tmp_path / 'learning', 'train')
  one_sided = make_result()
  members = one_sided.trials._replace(members=[True] * 40)
  write_sweep(tmp_path / 'a', [dataclasses.replace(one_sided, trials=members)])
  (tmp_path / 'a' / 'picture.png').unlink()
  opened = report(tmp_path)
  assert 'img' not in {tag for tag, _ in opened.elements}
  assert 'How well the models learn' in opened.text


def test_equal_results_make_equal_reports(folder):
  """A changed report must mean changed results."""
  before = tree(folder)
  write_report(folder, title='Title')
  assert tree(folder) == before


def test_cells_are_found_where_runs_share_them(tmp_path):
  """Figures and tables keep the cells they have in common in one store."""
  for name in ('table2', 'figure5'):
    write_sweep(tmp_path / name, [make_result()], store='../store')
  write_pictures(tmp_path / 'store', make_result())
  page = make_page(tmp_path, 'Title')
  assert [len(section.galleries) for section in page.sections] == [1, 1]


def test_names_cannot_break_the_page(tmp_path):
  """A folder's name, a title and a command are text, whatever is in them."""
  name = '<b> & "quoted" name'
  write_sweep(tmp_path / name, [make_result()])
  page = make_page(tmp_path, '<script>alert(1)</script>')
  opened = Opened(render(page))
  assert not {'script', 'b'} & {tag for tag, _ in opened.elements}
  assert name in opened.text
  assert all(
    set(file) <= set('-_.abcdefghijklmnopqrstuvwxyz0123456789') for file, _ in files(page)
  )


def test_words_and_numbers_are_as_promised():
  """The examples in the docstrings are what a reader meets."""
  assert doctest.testmod(wording).failed == 0


def damage_cell(out: Path) -> None:
  (path,) = (out / 'a' / 'cells').glob('*.json')
  path.write_text(path.read_text().replace('0.25', '0.26'))


BAD = {
  'there is no folder': lambda out: (out / 'a').rename(out.with_name('away')) and out.rmdir(),
  'holds no results': lambda out: (out / 'a' / 'run.json').unlink(),
  'does not describe a run': lambda out: (out / 'a' / 'run.json').write_text('{"kind": 1}'),
  'is damaged.*run its sweep again': damage_cell,
  'cannot read .*json: No such file': lambda out: next(out.glob('a/cells/*')).unlink(),
  'picture.png is damaged': lambda out: (out / 'a' / 'picture.png').write_bytes(b'\x89PNG'),
  'learning.csv is damaged': lambda out: write_measured(
    out / 'b', 'train', 'learning', 'a\n1,2\n'
  ),
  'two folders of results are called': lambda out: [
    write_run(out / name, 'train') for name in ('x y', 'x-y')
  ],
}


@pytest.mark.parametrize('message', BAD)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, message):
  """A report of half of the results would pass for one of all."""
  out = tmp_path / 'out'
  write_sweep(out / 'a', [make_result()])
  BAD[message](out)
  before = tree(tmp_path)
  with pytest.raises(InputError, match=message) as caught:
    write_report(out, title='Title')
  assert '\n' not in str(caught.value)
  assert tree(tmp_path) == before


def test_the_command(tmp_path):
  """What users type: the page's path, or one line and status 2."""
  write_sweep(tmp_path / 'a', [make_result()])
  commands = [
    start([f'--output_dir={tmp_path / name}'], module='report') for name in ('a', 'b')
  ]
  good, bad = map(finish, commands)
  assert (good.status, good.out) == (0, f'{tmp_path / "a" / "report.html"}\n')
  assert (bad.status, bad.err) == (2, f'report: there is no folder {tmp_path / "b"}\n')
