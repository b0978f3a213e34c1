"""`python -m experiments.benchmark` measures what it says, and says when it cannot."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from experiments.benchmarking import lines, rows
from experiments.benchmarking.contest import Outcome, Sample
from experiments.config import columns
from tests.experiments.tiny import ROOT, finish, start

CHOICES = rows.Choices(
  activation='relu',
  iterations=50,
  chunk=0,
  peers=rows.PEERS,
  peer_batch=4,
  dataset='mnist_sample',
  filters=32,
)
MISTAKES = {
  '--rows=qeury_3': "unknown row 'qeury_3': did you mean 'query_3'",
  '--rows=': 'no value is given for rows',
  '--peers=torch_fun': "unknown peer 'torch_fun': did you mean 'torch_func'",
  '--dataset=mnist_sampel': "unknown dataset 'mnist_sampel': did you mean 'mnist_sample'",
  '--iterations=0': 'iterations must be a number of at least 1, not 0',
  '--filters=0': 'filters must be a number of at least 1, not 0',
  '--rounds=0': '--rounds=0',
  '--rounds=4000000000': 'at most 10,000 rounds',
  '--chunk=4000000000': 'at most 1,000,000 trials',
  '--peer_batch=4000000000': 'at most 1,000,000 trials',
  '--iterations=4000000000': 'at most 1,000,000 steps',
  '--activation=rleu': '--activation=rleu',
}
# Its flags cannot live beside those of other commands: they are read in another process.
SAY = """
import contextlib, io, json, sys
from absl.testing import flagsaver
from experiments import benchmark
from experiments.process import cli

def say(typed):
  out, err = io.StringIO(), io.StringIO()
  sys.argv = ['benchmark.py', typed]
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      cli.run(benchmark.main)
    except SystemExit as ended:
      return ended.code, out.getvalue(), err.getvalue()

print(json.dumps({typed: say(typed) for typed in sys.argv[1:]}))
"""


def test_a_mistake_is_one_line():
  """And nothing is measured."""
  code = [sys.executable, '-c', SAY, *MISTAKES]
  done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
  for typed, (status, out, err) in json.loads(done.stdout).items():
    assert (status, out, err.count('\n')) == (2, '', 1)
    assert MISTAKES[typed] in err


@pytest.mark.slow
def test_the_command_writes_what_it_promises(tmp_path):
  """As a user starts it, without PyTorch: every sample, the table and the picture."""
  options = ['--quick', '--rows=mlp_query', '--peers=', f'--output_dir={tmp_path}/out']
  ended = finish(start(options, module='benchmark'))
  assert ended.status == 0, ended.err
  folder = tmp_path / 'out_quick'
  (line,) = csv.DictReader((folder / 'benchmark.csv').read_text().splitlines())
  found = json.loads((folder / 'benchmark.json').read_text())['mlp_query']
  assert (line['contestant'], line['wall_ratio'], line['rounds']) == ('mamljax', '1.0', '3')
  assert list(found) == ['mamljax', 'product']
  assert len(found['mamljax']['samples']) == 3
  assert found['product']['facts']['flops'] == 10 * 2 * 1024**3
  assert 0 < float(line['peak_fraction']) < 1.5
  assert float(line['cores_used']) <= 1.05
  assert float(line['compile_seconds']) > 0
  assert (folder / 'benchmark.png').read_bytes().startswith(b'\x89PNG')
  assert json.loads((folder / 'run.json').read_text())['kind'] == 'benchmark'


@pytest.mark.parametrize('name', rows.ROWS)
def test_contestants_of_a_row_do_the_same(name):
  """The same cell, iterations and rates, but each with its own number of units."""
  entries = rows.entries_of(rows.ROWS[name], CHOICES, Path('problem.npz'))
  told = {entry.name: json.loads(entry.arguments[0]) for entry in entries}
  assert entries[0].name == rows.OURS  # it writes the problem that the others read
  assert all(told[x]['cell'] == told[rows.OURS]['cell'] for x in told if 'cell' in told[x])
  cell = columns.flatten(told[rows.OURS]['cell'])
  options = {name: f'reconstruction.{name}' for name in ('iterations', 'tv_weight')}
  same = {name: name for name in ('network', 'activation', 'inner_steps', 'target')} | options
  for peer in set(rows.PEERS) & set(told):
    assert {name: told[peer][name] for name in same} == {k: cell[c] for k, c in same.items()}


def outcome(seconds, units, **facts):
  """Six rounds."""
  known = {'units': units, 'in_flight': 2, 'seconds_to_ready': 1.0, 'version': '0'}
  return Outcome(known | facts, [Sample(seconds, seconds)] * 6)


def test_lines_and_their_picture():
  """Units are divided out, the aim stands by sequential PyTorch, the paper by every attack."""
  row = rows.ROWS['query_3']
  outcomes = {
    'mamljax': outcome(2.0, 4, flops=400, peak_bytes=64, compiled_bytes=32),
    'torch_sequential': outcome(3.0, 1, peak_bytes=None),
    'product': outcome(1.0, 10, flops=400),
  }
  ours, theirs = lines.lines_of('query_3', row, rows.cell_of(row, CHOICES), outcomes)
  assert (ours.wall_seconds, theirs.wall_seconds, theirs.wall_ratio) == (0.5, 3, 6)
  assert (ours.peak_fraction, theirs.peak_fraction) == (0.5, None)
  assert (ours.flops, ours.peak_bytes, ours.compiled_bytes) == (100, 32, 16)
  assert (ours.aim, theirs.aim) == (None, 14)
  assert (ours.limit, theirs.limit) == (None, 12)  # at half of the peak, twice as fast at it
  assert (ours.paper_seconds, ours.paper_over_wall) == (1.34, 2.68)
  assert lines.format_lines([ours, theirs]).splitlines()[2].split()[1:4] == [
    'torch_sequential',
    '3e+03',
    '6.00',
  ]
  (axes,) = lines.draw_lines([ours, theirs]).axes
  # The bar in the plot, and the one that the legend shows.
  widths = [getattr(bar, 'get_width')() for bar in axes.patches]  # noqa: B009
  assert sorted(widths) == [0, 6]
