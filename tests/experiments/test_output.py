"""What is printed is lost where it cannot be written; what is computed never is."""

import errno
import io
import itertools
import json
import os
import subprocess
import sys

import pytest

from experiments import sweep
from experiments.process import output
from experiments.sweeping import worker
from tests.experiments.tiny import ROOT, arguments, cells, rows, run


class Broken(io.StringIO):
  """A stream that cannot be written: its reader has gone, its disk is full, it was closed."""

  def __init__(self, error: Exception):
    super().__init__()
    self.error = error

  def write(self, text: str) -> int:
    raise self.error


TROUBLE = [BrokenPipeError(), OSError(errno.ENOSPC, 'full'), ValueError('closed file'), None]


@pytest.mark.parametrize('error', TROUBLE, ids=['reader gone', 'full', 'closed', 'none'])
def test_trouble_with_what_is_printed_was_taken_for_a_failed_cell(
  finished, tmp_path, monkeypatch, error
):
  """A cell of hours was thrown away for its line a minute, and the third time left alone."""
  clock = itertools.count(0, 100)
  monkeypatch.setattr(worker.time, 'monotonic', lambda: next(clock))
  stream = Broken(error) if error else None
  ended = run(arguments(finished.npz, tmp_path), main=main_with(stream, monkeypatch))
  assert ended.status == 0
  assert len(cells(tmp_path)) == len(rows(tmp_path)) == 1
  assert (tmp_path / 'picture.png').exists()
  assert not (tmp_path / 'failures').exists()


def main_with(stream, monkeypatch):
  """A sweep whose streams are this one, as Python makes them where they are closed: None."""

  def main(argv):
    for name in ('stdout', 'stderr'):
      monkeypatch.setattr(sys, name, stream)
    with output.protected():
      sweep.main(argv)

  main.__module__ = 'experiments.sweep'
  return main


def test_closed_and_full_streams_of_a_process_changed_its_status(finished, tmp_path):
  """A scheduler takes status 120, Python's for output that was lost, for a failed task."""
  typed = [sys.executable, '-m', 'experiments.sweep', *arguments(finished.npz, tmp_path)]
  script = '"$@" <&- >&- 2>/dev/full; echo $?'
  done = subprocess.run(
    ['bash', '-c', script, 'bash', *typed], cwd=ROOT, capture_output=True, text=True, check=True
  )
  assert (done.stdout, done.stderr) == ('0\n', '')
  assert len(cells(tmp_path)) == len(rows(tmp_path)) == 1


def test_a_reader_that_ends_ended_the_command_with_a_traceback():
  """`... | head -1` is how one looks at a long list."""
  reader, writer = os.pipe()
  with open(writer, 'w') as pipe:
    os.close(reader)
    stream = output.Harmless(pipe)
    print('a line', file=stream, flush=True)
    print('another', file=stream, flush=True)
    with pytest.raises(BrokenPipeError):
      pipe.flush()  # the pipe itself
    os.dup2(os.open(os.devnull, os.O_WRONLY), writer)


def test_files_are_written_before_anything_is_said(finished, tmp_path, monkeypatch):
  """A table on the screen and no picture in the folder: the reader of the screen had ended."""
  monkeypatch.setattr(sweep.tables, 'format_table', lambda _: 1 / 0)
  with pytest.raises(ZeroDivisionError):
    run(arguments(finished.npz, tmp_path))
  assert (tmp_path / 'picture.png').exists()
  assert (tmp_path / 'run.json').exists()


def test_lines_for_machines_stood_on_the_line_of_the_bar(finished, tmp_path, monkeypatch):
  """In a log of both streams no program could read them, line by line."""
  clock = itertools.count(0, 100)
  monkeypatch.setattr(worker.time, 'monotonic', lambda: next(clock))
  log = io.StringIO()
  ended = run(arguments(finished.npz, tmp_path), main=main_with(log, monkeypatch))
  assert ended.status == 0
  lines = log.getvalue().split('\n')
  told = [json.loads(line) for line in lines if '{' in line]
  assert len(told) > 1
  assert '\r' not in log.getvalue()
  assert any(line.startswith('100% |') for line in lines)
