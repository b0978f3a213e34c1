"""An audit of one's own model by one command: what a user types, and what he reads."""

import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import mamljax
from experiments import audit, update
from experiments.auditing import arrays, model, output
from mamljax import Batch, InputError, Task
from tests.experiments import own_model

ROOT = Path(__file__).parent.parent.parent
MODEL = f'--model={Path(own_model.__file__)}:make'


def run(command, *flags, cwd):
  """A command as a user types it."""
  line = [sys.executable, str(ROOT / 'experiments/__main__.py'), command, *flags]
  return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_an_own_model_is_audited_by_one_command(tmp_path):
  """The table on the screen and the numbers in the file are one report."""
  inputs, labels = own_model.examples(count=40)
  np.savez(tmp_path / 'x.npz', inputs=inputs, labels=labels)
  flags = ['--data=npz:x.npz', '--ways=3', '--trials=20', '--attacks=row_space,loss']
  result = run('audit', MODEL, *flags, '--output=audit.json', cwd=tmp_path)
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith('It leaks: row_space')
  report = json.loads((tmp_path / 'audit.json').read_text())
  assert report['worst']['attack'] == 'row_space'
  assert report['worst']['accuracy'] == 1


@pytest.mark.slow
def test_one_received_update_is_audited_by_one_command(tmp_path):
  """The images of the task are called, and others of their class are further from it."""
  inputs, labels = own_model.examples(count=40)
  loss_fn, params = own_model.make()
  places = np.array([0, 40, 80])
  support, query = (Batch(jnp.asarray(inputs[places + at]), jnp.arange(3)) for at in (0, 1))
  sent = mamljax.meta_gradient(loss_fn, params, Task(support, query), mamljax.Learner(1, 0.1))
  mamljax.io.save(tmp_path / 'w.safetensors', params)
  mamljax.io.save(tmp_path / 'g.safetensors', sent)
  asked = np.concatenate([places + 1, places + 2])
  np.savez(tmp_path / 'c.npz', inputs=inputs[asked], labels=labels[asked])
  public = (np.arange(len(labels)) % 40 >= 3) & (labels < 3)
  np.savez(tmp_path / 'p.npz', inputs=inputs[public], labels=labels[public])
  files = ['--params=w.safetensors', '--gradient=g.safetensors']
  files += ['--candidates=npz:c.npz', '--public=npz:p.npz', '--fpr=0.1']
  result = run('update', MODEL, *files, '--output=update.json', cwd=tmp_path)
  assert result.returncode == 0, result.stderr
  report = json.loads((tmp_path / 'update.json').read_text())
  assert all(report['called'][:3])
  assert min(report['scores'][:3]) > max(report['scores'][3:])


@pytest.mark.parametrize(
  ('spec', 'message'),
  [
    (None, r'--model= must be package.module:function'),
    ('no_such_module:make', "no module 'no_such_module'"),
    ('tests.experiments.own_model:mak', 'has no function .mak., but .*make'),
    (
      'tests.experiments.own_model:make_nothing',
      'returns .loss_fn, params.* returned function',
    ),
  ],
)
def test_what_is_no_model_is_named(spec, message):
  """A traceback of the user's import would hide what he typed wrong."""
  with pytest.raises(InputError, match=message):
    model.make(spec)


@pytest.mark.parametrize('name', ['audit.pdf', 'audit', 'nowhere/audit.html'])
def test_a_report_that_cannot_be_written_is_refused_first(name):
  """Not after the hours that it took."""
  with pytest.raises(InputError, match=f'--output={name}'):
    output.check(name)


def test_bytes_are_seen_as_a_model_sees_them(tmp_path):
  """Else an update is audited with images 255 times as bright."""
  images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
  np.savez(tmp_path / 'x.npz', images=images, labels=[0, 1])
  batch = arrays.batch('candidates', f'npz:{tmp_path / "x.npz"}')
  np.testing.assert_allclose(batch.images, images / 255, rtol=1e-6)
  assert jax.tree.map(lambda leaf: leaf.dtype, batch) == (jnp.float32, jnp.int32)


def test_attacks_are_read_by_name():
  """'auto' and 'all' are words, not attacks."""
  assert audit.attacks_of('auto') == 'auto'
  assert audit.attacks_of('row_space, loss') == ['row_space', 'loss']
  assert update.RATE.most == 1
