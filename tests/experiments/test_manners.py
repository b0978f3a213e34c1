"""What is written harms nobody: no formulas in tables, private images for their user alone."""

import io
import os
import stat
import sys
import types

import numpy as np
import pytest

from experiments.analysis import figures
from experiments.analysis.text import csv_text
from experiments.process import cli, compilation_cache, output
from experiments.reporting.writing import write_report
from experiments.store import trials
from mamljax.audit.trials import Played
from tests.experiments.reported import Opened, make_result, write_pictures, write_sweep


@pytest.mark.parametrize('start', ['=', '+', '-', '@', '\t', '\r'])
def test_a_text_that_begins_as_a_formula_was_one(start):
  """A spreadsheet runs =cmd|' /C calc'!A0 when the table is opened."""
  text = csv_text(['name'], [{'name': f'{start}cmd'}])
  assert text.removeprefix('name\n').lstrip('"').startswith("'")


def test_numbers_in_a_table_are_as_they_were():
  """An apostrophe would make texts of them."""
  lines = [{'number': number} for number in (-0.5, '-0.5', '+0.02', '-1e-7', None, '', True)]
  text = csv_text(['number', 'name'], [line | {'name': 'x'} for line in lines])
  assert text == 'number,name\n-0.5,x\n-0.5,x\n+0.02,x\n-1e-7,x\n,x\n,x\nTrue,x\n'


def test_a_line_with_a_column_that_is_not_there_is_refused():
  """Its value would be lost in silence."""
  with pytest.raises(ValueError, match='no columns for other'):
    csv_text(['name'], [{'name': 1, 'other': 2}])


@pytest.fixture
def page(tmp_path):
  """The report on a sweep in a folder of such a name."""
  found = [make_result(ways=ways) for ways in (3, 5)]
  write_sweep(tmp_path / '=cmd', found)
  write_pictures(tmp_path / '=cmd', found[0])
  return write_report(tmp_path, title='Title')


def test_a_folders_name_was_a_formula_in_the_reports_table(page):
  """It is typed by whoever unpacks the results of others."""
  table = (page.parent / 'report' / 'runs.csv').read_text()
  assert "'=cmd" in table
  assert '\n=cmd' not in table


def test_the_page_had_no_policy(page):
  """Nothing is loaded or run that is not in it; its own style and pictures are."""
  opened = Opened(page.read_text())
  policies = [
    (at, attrs['content'])
    for at, (tag, attrs) in enumerate(opened.elements)
    if attrs.get('http-equiv') == 'Content-Security-Policy'
  ]
  ((at, policy),) = policies
  allowed = dict(part.strip().split(' ', 1) for part in policy.split(';'))
  assert allowed['default-src'] == "'none'"
  assert at < min(i for i, (tag, _) in enumerate(opened.elements) if tag in ('style', 'link'))
  assert {'img-src': 'data:', 'style-src': "'unsafe-inline'"}.items() <= allowed.items()
  assert all(source.startswith('data:') for source in opened.all('src'))
  assert not {'script', 'iframe', 'object'} & {tag for tag, _ in opened.elements}


@pytest.fixture
def open_to_all():
  """A umask that keeps nothing from anybody."""
  before = os.umask(0)
  yield
  os.umask(before)


def mode(path) -> int:
  """The permissions of a file."""
  return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.usefixtures('open_to_all')
def test_private_images_were_for_everybody(tmp_path):
  """Reconstructions, candidates of unfinished cells, pictures; scores are for sharing."""
  found = make_result()
  write_sweep(tmp_path, [found])
  write_pictures(tmp_path, found)
  played = Played(np.zeros(2), np.ones(2, bool), np.zeros((2, 1, 1, 1)), None)
  block = trials.Block(played, np.zeros((2, 1, 1, 1)), 1.0, 1.0)
  trials.Keeper(tmp_path / 'progress', 'name', 'stamp', every=0).keep(0, [block])
  figures.save(figures.picture(found, None), tmp_path / 'private.png', private=True)
  (examples,), (kept,) = (tmp_path.glob(f'{name}/*.npz') for name in ('examples', 'progress'))
  assert [mode(path) for path in (examples, kept, tmp_path / 'private.png')] == [0o600] * 3
  (cell,) = tmp_path.glob('cells/*.json')
  assert mode(cell) == 0o666


def test_a_sweeps_pictures_were_for_everybody(finished):
  """They show candidates and what was made of them."""
  assert mode(finished.folder / 'picture.png') == 0o600


@pytest.mark.parametrize(
  ('written', 'shown'),
  [
    ('2 cells in \x1b[2J\x07out\n', '2 cells in \\x1b[2J\\x07out\n'),
    ('\r 50% |###| a\x1b[31m\rb\r', '\r 50% |###| a\\x1b[31m\\rb\r'),
    ('\n\x1b[A\x1b[A', '\n\x1b[A\x1b[A'),
  ],
  ids=['print', 'bar', 'moves of a bar'],
)
def test_a_name_in_any_message_did_what_it_liked_to_the_terminal(monkeypatch, written, shown):
  """Printed, in a bar, in a log or in a refusal: all go through one stream."""
  seen = io.StringIO()
  monkeypatch.setattr(sys, 'stdout', seen)
  with output.protected():
    print(written, end='')
  assert seen.getvalue() == shown


def test_a_wrong_flag_filled_screens(capsys):
  """Of 31,000 characters a screenful is told."""
  output.complain('unknown command line flag ' + 'x' * 31_000)
  assert len(capsys.readouterr().err) < 1300


@pytest.mark.usefixtures('open_to_all')
def test_the_compilation_cache_was_open_to_everybody(tmp_path, monkeypatch):
  """What lies there is run: its folder is its user's, also one of an earlier command."""
  (tmp_path / 'mamljax').mkdir()
  assert mode(tmp_path / 'mamljax') == 0o777
  assert compilation_cache.make_private(tmp_path / 'mamljax' / 'xla')
  assert [mode(tmp_path / name) for name in ('mamljax', 'mamljax/xla')] == [0o700] * 2
  monkeypatch.setattr(os, 'getuid', lambda: 12345)  # it is somebody else's
  assert not compilation_cache.make_private(tmp_path / 'mamljax' / 'xla')


def test_the_cache_of_the_commands_is_made_so(tmp_path, monkeypatch):
  """Unless JAX was told another place, which is its user's to keep."""
  told = {}
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  config = types.SimpleNamespace(
    values={'jax_compilation_cache_dir': None}, update=told.__setitem__
  )
  monkeypatch.setattr(cli.jax, 'config', config)
  monkeypatch.setattr(compilation_cache, 'mend', lambda: None)
  cli.cache_compilations()
  assert told['jax_compilation_cache_dir'] == str(tmp_path / 'mamljax' / 'xla')
  assert mode(tmp_path / 'mamljax' / 'xla') == 0o700
