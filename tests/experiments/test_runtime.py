"""`python -m experiments.runtime` times what it says, beside what the paper prints for it."""

import csv
import json
import re
import subprocess
import sys
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.analysis import figures, paper
from experiments.engine import resumable
from experiments.store import cells
from experiments.studies import attack_times
from mamljax.audit.blocks import Block
from mamljax.audit.trials import Played, Rules, Setting
from mamljax.types import Pool
from tests.experiments.configurations import make
from tests.experiments.tiny import ROOT, finish, start, write_npz

COLUMNS = (
  'target,data_size,ways,shots,iterations,seconds_one,seconds_one_low,seconds_one_high,'
  'seconds_amortised,compile_seconds,paper_seconds,paper_over_one,paper_over_amortised,'
  'device_kind,devices,seed'
)
CELL = make(network='mlp', ways=3, shots=1, iterations=50, chunk=4, seed=7)

# What was typed, and what the line must say.
MISTAKES = {
  '--sizes=3by1': r"--sizes: '3by1' is not WAYSxSHOTS, such as 5x1",
  '--sizes=3x1,': r"--sizes: '' is not WAYSxSHOTS",
  '--sizes=': 'no value is given for sizes',
  '--sizes=1x1': 'ways must be a number of at least 2, not 1',
  '--sizes=11x1': '11 ways, but mnist_sample has only 10 classes',
  '--sizes=3x99': '99 shots, but mnist_sample allows at most',
  '--iterations=': 'no value is given for iterations',
  '--iterations=5.5': "--iterations: '5.5' is not a whole number",
  '--iterations=0': 'reconstruction.iterations must be a number of at least 1, not 0',
  '--cell=activaton=relu': "unknown field of a cell 'activaton': did you mean 'activation'",
  '--cell=activation=rleu': "unknown activation 'rleu': did you mean 'relu'",
  '--cell=inner_steps=two': "--cell: 'two' is not a number without a fraction",
  '--cell=inner_steps': "--cell: '' is not a number without a fraction",
  '--targets=qeury': "unknown target 'qeury': did you mean 'query'",
  '--repeats=0': '--repeats=0',
  '--repeats=4000000000': 'at most 100,000 candidates',
  '--candidates=4000000000': 'at most 10,000,000 candidates',
  '--chunk=4000000000': 'chunk must be a number of at most 1,000,000 trials',
  '--iterations=4000000000': 'at most 10,000,000',
  f'--sizes={"9" * 5000}x1': 'is not WAYSxSHOTS',
  '--cell=reconstruction.tv_weight=1e300': r'tv_weight must be a number of at most 1e\+30',
  '--chunk=-1': '--chunk=-1',
  '--no_such_flag': "'no_such_flag'",
}
# Its flags cannot live beside those of the sweep: they are read in another process.
READ_FLAGS = """
import contextlib, io, json, sys
from absl.testing import flagsaver
from experiments import runtime
from experiments.process import cli
from tests.experiments.configurations import make

def say(typed):
  out, err = io.StringIO(), io.StringIO()
  sys.argv = ['runtime.py', '--chunk=2', typed]
  with flagsaver.flagsaver(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    try:
      cli.run(runtime.main)
    except SystemExit as ended:
      return ended.code, out.getvalue(), err.getvalue()

def read(*typed):
  with flagsaver.flagsaver():
    runtime.flags.FLAGS(['runtime.py', '--chunk=2', *typed])
    cells = runtime._read_cells()
    sizes = [(c.game.target, c.task.ways, c.task.shots) for c in cells]
    return [(*s, c.attack.iterations) for s, c in zip(sizes, cells)]

refusals = {typed: say(typed) for typed in sys.argv[1:]}
sizes = '--sizes=4x1,2x1,2x3'
quick = [read(sizes, '--iterations=3,2', '--quick'), read('--sizes=2x1', '--quick')]
cells = [read('--targets=support,query'), *quick]
print(json.dumps([refusals, *cells]))
"""


@pytest.fixture(scope='module')
def said():
  """The end of the command after each mistake, and what it times otherwise."""
  code = [sys.executable, '-c', READ_FLAGS, *MISTAKES]
  done = subprocess.run(code, cwd=ROOT, capture_output=True, text=True, check=True)
  return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize('typed', MISTAKES)
def test_a_mistake_is_one_line(said, typed):
  """And nothing is timed before the last cell is known to be right."""
  status, out, err = said[0][typed]
  assert (status, out, err.count('\n')) == (2, '', 1)
  assert err.startswith('runtime: ')
  assert re.search(MISTAKES[typed], err), err


def test_cells_are_those_of_the_printed_tables(said):
  """Else the paper's seconds would stand beside few of ours."""
  sizes, iterations = ((3, 1), (5, 1), (5, 2), (5, 3), (5, 4)), (50, 100, 200)
  assert said[1] == [
    [target, *size, steps]
    for target in ('support', 'query')
    for size in sizes
    for steps in iterations
  ]


def test_quick_takes_the_extreme_sizes_and_the_fewest_iterations(said):
  """By data size, not in the order typed; one size is both extremes."""
  assert said[2] == [['query', 2, 1, 2], ['query', 2, 3, 2]]
  assert said[3] == [['query', 2, 1, 50]]


@pytest.mark.slow
def test_the_command_writes_what_it_promises(tmp_path):
  """As a user starts it: the times, the picture, the table and what made them."""
  npz, folder = write_npz(tmp_path / 'tiny.npz'), tmp_path / 'out'
  options = ['--sizes=2x1', '--iterations=2', '--repeats=3', '--candidates=3', '--chunk=1']
  command = [*options, f'--cell=dataset=npz:{npz},network=mlp', f'--output_dir={folder}']
  ended = finish(start(command, module='runtime', devices=2))
  assert ended.status == 0, ended.err
  text = (folder / 'runtimes.csv').read_text()
  assert text.splitlines()[0] == COLUMNS
  (row,) = csv.DictReader(text.splitlines())
  assert (row['target'], row['data_size'], row['iterations']) == ('query', '2', '2')
  assert (row['devices'], row['paper_seconds']) == ('2', '')
  low, one, high = (float(row[f'seconds_one{end}']) for end in ('_low', '', '_high'))
  assert 0 < low <= one <= high < 60
  assert 0 < float(row['seconds_amortised']) < 60
  assert float(row['compile_seconds']) > 0
  assert len(ended.out.splitlines()) == 2
  assert (folder / 'runtimes.png').read_bytes().startswith(b'\x89PNG')
  assert json.loads((folder / 'run.json').read_text())['kind'] == 'runtime'


@pytest.fixture
def played(monkeypatch):
  """Replaces the playing; notes what would have been played. Blocks take 9, 1, 2, 6 ... s."""
  notes, seconds = [], iter([9.0, 1.0, 2.0, 6.0])

  def play_block(key, pool, setting, indices, mesh, *, compiled):
    del key, pool, compiled
    notes.append((setting.chunk, indices.tolist(), mesh.size))
    compiling = 5.0 if len(notes) == 1 else 0.0
    outcome = Played(jnp.zeros(1), jnp.ones(1), None, None)
    return Block(outcome, np.zeros(1), next(seconds), compiling, lambda: outcome)

  def play(cell, setting, pool, *, stream, count, advance):
    del setting, pool, stream, advance
    notes.append((cell.execution.chunk, count))
    return resumable.Scored(cells.Trials([], [], [], []), None, None, 12.0, 3.0)

  monkeypatch.setattr(attack_times, 'play_block', play_block)
  monkeypatch.setattr(resumable, 'play', play)
  return notes


def test_a_candidate_alone_is_alone_and_a_batch_is_shared_out(played):
  """Timed in a chunk, 'one candidate' would be no latency; cold, it would be compilation."""
  pool = Pool(*jnp.zeros((3, 2)))
  shared: Any = dict.fromkeys(('knowledge', 'prepared', 'attack', 'inner', 'defence'))
  setting = Setting(**shared, rules=Rules(3, 1, 'query'), chunk=4)
  row = attack_times.measure(CELL, setting, pool, repeats=3, candidates=24)
  assert played == [(1, [0], 1), (1, [1], 1), (1, [2], 1), (1, [3], 1), (4, 24)]
  assert (row.seconds_one_low, row.seconds_one, row.seconds_one_high) == (1, 2, 6)
  assert (row.seconds_amortised, row.compile_seconds) == (0.5, 5)
  assert (row.paper_seconds, row.paper_over_one, row.paper_over_amortised) == (1.34, 0.67, 2.68)
  assert row.seed == 7


PRINTED = """
support 50 3.54 4.05 6.28 7.16 8.84
support 100 7.26 8.02 11.29 14.57 17.45
support 200 14.09 15.93 21.71 29.71 34.79
query 50 1.34 1.64 1.94 2.4 3.42
query 100 2.56 3.08 3.86 4.87 5.79
query 200 5.12 6.04 7.63 9.22 14.11
"""


@pytest.mark.parametrize('line', PRINTED.split('\n')[1:-1])
def test_printed_seconds_by_eye(line):
  """Tables III and IV, read from the paper a second time."""
  target, iterations, *seconds = line.split()
  found = [paper.printed_seconds(target, n, int(iterations)) for n in (3, 5, 10, 15, 20)]
  assert found == list(map(float, seconds))


@pytest.mark.parametrize(('data_size', 'iterations'), [(4, 50), (3, 60)])
def test_nothing_is_printed_for_other_sizes(data_size, iterations):
  """A number beside them would be made up."""
  assert paper.printed_seconds('query', data_size, iterations) is None


def make_row(**changes):
  ours, theirs = (2.0, 1.0, 4.0, 0.5, 12.5), (8.0, 4.0, 16.0)
  row = attack_times.Runtime('query', 3, 3, 1, 50, *ours, *theirs, 'cpu', 2, 0)
  return row._replace(**changes)


def test_the_table_says_what_the_rows_say():
  """'-' where the paper has nothing, columns aligned."""
  bare = dict.fromkeys(('paper_seconds', 'paper_over_one', 'paper_over_amortised'))
  header, first, second = attack_times.format_runtimes([make_row(), make_row(**bare)]).split(
    '\n'
  )
  assert first.split() == ['query', '3', '50', '2', '[1,', '4]', '0.5', '12.5', '8', '4', '16']
  assert second.split()[-4:] == ['12.5', '-', '-', '-']
  assert len(header) == len(first) == len(second)


def test_the_picture_has_a_line_for_each_kind_of_time(tmp_path):
  """Points must stand at their data size, and a gap where the paper has nothing."""
  rows = [
    make_row(target=target, iterations=steps, data_size=n, paper_seconds={5: 8.0}.get(n))
    for target in ('query', 'support')
    for steps in (100, 50)
    for n in (10, 5)
  ]
  figure = attack_times.draw_runtimes(rows)
  axes, other = figure.axes
  assert other.get_title() == 'attack on the support set'
  lines = [np.asarray(line.get_xydata()).tolist() for line in axes.get_lines()]
  drawn = [line for line in lines if line]
  one, batch = [[5, 2], [10, 2]], [[5, 0.5], [10, 0.5]]
  assert [line for line in drawn if line in (one, batch)] == [one, batch] * 2
  assert sum(line[0] == [5, 8] and np.isnan(line[1][1]) for line in drawn) == 2
  assert axes.get_yscale() == 'log'
  figures.save(figure, tmp_path / 'runtimes.png')
