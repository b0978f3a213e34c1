"""A file may be called anything: its name is written, printed and drawn, and ends nothing."""

import csv
import io
import os
import sys

import pytest

from experiments.process import output
from experiments.reporting.writing import write_report
from mamljax import atomic
from tests.experiments.tiny import arguments, run, write_npz

BAD = os.fsdecode(b'\xe4$\\x$\xff')  # no UTF-8, and for matplotlib a formula that is none


def test_a_data_path_that_is_not_utf_8_is_in_table_pictures_and_report(tmp_path):
  """It was computed, and then died on results.csv, or on the picture."""
  npz = write_npz(tmp_path / f'{BAD}.npz')
  ended = run(arguments(npz, tmp_path / BAD, tv_weight='0.001,0.01'))
  assert ended.status == 0, ended.err
  with (tmp_path / BAD / 'results.csv').open(encoding='utf-8', newline='') as file:
    named = {line['dataset'] for line in csv.DictReader(file)}
  assert named == {rf'npz:{tmp_path}/\xe4$\x$\xff.npz'}
  assert (tmp_path / BAD / 'pairs.png').exists()
  page = write_report(tmp_path / BAD, title='Title').read_text(encoding='utf-8')
  assert r'\xff.npz' in page


@pytest.mark.parametrize(
  ('name', 'written'),
  [
    ('größe', 'größe'),
    ('größe'.encode().decode('ascii', 'surrogateescape'), 'größe'),  # under an ASCII locale
    (os.fsdecode(b'\xff\xc3\xb6'), r'\xffö'),
    ('\ud800', r'\ud800'),  # of a JSON file
  ],
)
def test_a_text_with_a_name_is_utf_8(name, written):
  """Whatever the locale says that the bytes of the name are."""
  assert atomic.encoded(name).decode('utf-8') == written


@pytest.mark.parametrize('encoding', ['ascii', 'utf-8', 'latin-1'])
def test_a_terminal_is_told_any_name(monkeypatch, encoding):
  """An umlaut under an ASCII locale ended a sweep when its table was printed."""
  terminal = io.BytesIO()
  monkeypatch.setattr(sys, 'stdout', io.TextIOWrapper(terminal, encoding=encoding))
  with output.protected():
    print('größe 日本 \udcff', flush=True)
  assert terminal.getvalue().decode(encoding).endswith('\\udcff\n')
