"""launch/slurm.sbatch on a real SLURM of one machine: what README's three commands do.

Needs root on Debian or Ubuntu, where launch/slurm_here.sh installs what is missing.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.experiments.tiny import GRID, ROOT, Finished, arguments, cells, rows, scores

pytestmark = [
  pytest.mark.slow,
  pytest.mark.skipif(os.geteuid() != 0 or not shutil.which('apt-get'), reason='installs SLURM'),
]
PATIENCE = 300
QUEUE = 'squeue --noheader || echo busy'


@pytest.fixture(scope='module')
def slurm(tmp_path_factory) -> Iterator[Callable[[str], str]]:
  """Runs a command line that finds this machine's SLURM."""
  here = tmp_path_factory.mktemp('slurm')
  script = ROOT / 'launch' / 'slurm_here.sh'
  environment = os.environ | {'SLURM_HERE': str(here), 'SLURM_CONF': str(here / 'slurm.conf')}

  def run(line: str) -> str:
    told = {'cwd': ROOT, 'env': environment, 'capture_output': True, 'text': True}
    return subprocess.run(['bash', '-c', line], check=True, **told).stdout

  started = subprocess.run(
    ['bash', '-c', f'source {script} >{here}/start.log 2>&1; sinfo --noheader --format=%T'],
    cwd=ROOT,
    env=environment,
    check=False,
    capture_output=True,
    text=True,
  )
  if 'idle' not in started.stdout:
    pytest.skip(f'no SLURM starts here: {(here / "start.log").read_text()[-500:]}')
  yield run
  for daemon in ('slurmd', 'slurmctld', 'munged'):
    os.kill(int((here / f'{daemon}.pid').read_text()), signal.SIGTERM)


def submit(slurm, folder: Path, typed: list[str], options: str) -> str:
  """The job's number."""
  told = f'--output={folder}/slurm-%j.log --export=ALL,JAX_NUM_CPU_DEVICES=1'
  line = f'sbatch --parsable {told} {options} launch/slurm.sbatch {" ".join(typed)}'
  return slurm(line).strip()


def wait_until(true: Callable[[], object], logs: Path) -> None:
  deadline = time.monotonic() + PATIENCE
  while not true():
    said = [path.read_text(errors='replace') for path in logs.glob('slurm-*.log')]
    assert time.monotonic() < deadline, said
    time.sleep(0.2)


def test_an_array_that_is_killed_and_stopped_ends_as_if_it_were_not(
  slurm, finished: Finished, tmp_path: Path
):
  """Two tasks; one is killed, the other is told that its time is over. Both are requeued."""
  out = tmp_path / 'out'
  typed = [*arguments(finished.npz, out, **GRID | {'trials': 1200}), '--save_seconds=0']
  job = submit(slurm, tmp_path, typed, '--array=0-1')
  wait_until(lambda: len(processes(out)) == 2 and list(out.glob('progress/*.npz')), tmp_path)
  os.kill(processes(out)[0], signal.SIGKILL)
  slurm(f'scancel --signal=USR1 {job}_0 {job}_1')
  wait_until(
    lambda: slurm(f'scontrol show job {job} || true').count('Restarts=1') == 2, tmp_path
  )
  # SLURM holds a requeued job back for two minutes, so that what is left of it can end.
  time.sleep(5)
  for task in (0, 1):
    slurm(f'scontrol update jobid={job}_{task} starttime=now || true')
  wait_until(lambda: not slurm(QUEUE), tmp_path)
  said = ''.join(path.read_text(errors='replace') for path in tmp_path.glob('slurm-*.log'))
  assert 'queued again' in said
  assert 'asked to stop; the same command goes on from here' in said
  assert 'status 137' in said
  assert len(rows(out)) == 8
  assert {row['trials'] for row in rows(out)} == {'1200'}
  first = {tuple(kept['trials']['scores'][:8]) for kept in cells(out).values()}
  assert first == {tuple(kept['trials']['scores']) for kept in cells(finished.folder).values()}
  assert list((out / 'claims').iterdir()) == []


def processes(out: Path) -> list[int]:
  """The processes of the sweep into this folder."""
  found = []
  for path in Path('/proc').glob('[0-9]*/cmdline'):
    try:
      typed = path.read_bytes().split(b'\0')
    except OSError:
      continue
    if typed[1:3] == [b'-m', b'experiments.sweep'] and f'--output_dir={out}'.encode() in typed:
      found.append(int(path.parent.name))
  return found


def test_two_tasks_compute_each_cell_together(slurm, finished: Finished, tmp_path: Path):
  """As two nodes do: JAX finds the other task by SLURM's variables."""
  out = tmp_path / 'out'
  submit(slurm, tmp_path, arguments(finished.npz, out, **GRID), '--ntasks=2')
  wait_until(lambda: not slurm(QUEUE), tmp_path)
  assert rows(out) == rows(finished.folder)
  assert scores(out) == scores(finished.folder)
  assert {kept['timings']['devices'] for kept in cells(out).values()} == {2}


def test_python_without_srun_is_refused(slurm, finished: Finished, tmp_path: Path):
  """It would compute everything once for each node, or miss the signals."""
  typed = ' '.join(arguments(finished.npz, tmp_path / 'out'))
  wrapped = f'.venv/bin/python -m experiments.sweep {typed}'
  slurm(f'sbatch --wait --output={tmp_path}/plain.log --wrap="{wrapped}" || true')
  said = (tmp_path / 'plain.log').read_text()
  assert 'but srun did not start this process' in said
  assert not (tmp_path / 'out').exists()
