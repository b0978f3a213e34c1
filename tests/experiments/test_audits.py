"""An audit of one's own model by one command: what a user types, and what he reads."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import mamljax
from experiments.auditing import arrays, attacks, learner, model, output
from mamljax import Batch, InputError, Task
from tests.experiments import own_model

ROOT = Path(__file__).parent.parent.parent
MODEL = f'--model={Path(own_model.__file__)}:make'
DATA = '--data=npz:x.npz'


def run(command, *flags, cwd):
  """A command as a user types it."""
  line = [sys.executable, str(ROOT / 'experiments/__main__.py'), command, *flags]
  return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path):
  """A folder with data in `x.npz`, and a file with arrays of other names."""
  inputs, labels = own_model.examples(count=40)
  np.savez(tmp_path / 'x.npz', inputs=inputs, labels=labels)
  np.savez(tmp_path / 'other.npz', x=inputs, y=labels)
  (tmp_path / 'notes.csv').write_text('1,2')
  return tmp_path


def test_an_own_model_is_audited_by_one_command(folder):
  """The table on the screen and the numbers in the file are one report."""
  flags = [DATA, '--ways=3', '--trials=20', '--attacks=row_space,loss']
  result = run('audit', MODEL, *flags, '--output=audit.json', cwd=folder)
  assert result.returncode == 0, result.stderr
  assert result.stdout.startswith('It leaks: row_space')
  report = json.loads((folder / 'audit.json').read_text())
  assert report['worst']['attack'] == 'row_space'
  assert report['worst']['accuracy'] == 1
  assert '1 step of gradient descent at rate 0.1' in report['asked']['learner']


@pytest.mark.slow
def test_a_learner_comes_with_its_model(folder):
  """An audit of plain descent says nothing of a learner that runs another optimizer."""
  sizes = [DATA, '--ways=3', '--trials=8', '--attacks=loss', '--output=audit.json']
  result = run('audit', f'{MODEL}_with_learner', *sizes, cwd=folder)
  assert result.returncode == 0, result.stderr
  report = json.loads((folder / 'audit.json').read_text())
  assert report['asked']['learner'].startswith('2 steps of an optimiser of optax')


def test_a_learner_is_told_once(folder):
  """One of two learners would be audited, and the user not know which."""
  told = [f'{MODEL}_with_learner', DATA, '--steps=1', '--noise_scale=0']
  result = run('audit', *told, cwd=folder)
  assert result.returncode == 2
  assert result.stderr.startswith('audit: --steps, --noise_scale: the function of --model')
  assert result.stderr.count('\n') == 1


def described(**options):
  """A learner as by these flags."""
  plain = {'steps': 1, 'optimizer': 'sgd', 'rate': 0.1, 'sends': 'maml'}
  return learner.described(**{**plain, 'defence': 'none', 'noise_scale': 0.0, **options})


def two_steps(optimizer):
  """The sum of an optimizer's first two steps along a gradient of ones."""
  gradient = jnp.ones(3)
  first, state = optimizer.update(gradient, optimizer.init(gradient))
  return first + optimizer.update(gradient, state)[0]


def test_flags_describe_a_learner():
  """Each optimizer is optax's of its name, at the rate that is given."""
  assert described() == mamljax.Learner(1, 0.1)
  for name, made in [('adam', optax.adam(0.2)), ('momentum', optax.sgd(0.2, momentum=0.9))]:
    found = described(optimizer=name, rate=0.2).optimizer
    np.testing.assert_array_equal(two_steps(found), two_steps(made), err_msg=name)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'optimizer': 'adm'}, "unknown optimizer 'adm': did you mean 'adam'"),
    ({'sends': 'mam'}, "unknown message 'mam': did you mean 'maml'"),
    (
      {'defence': 'query_noise'},
      '--defence=query_noise and --noise_scale=0 do not go together',
    ),
    ({'noise_scale': 1.0}, '--defence=none and --noise_scale=1 do not go together'),
  ],
)
def test_what_is_no_learner_is_named(options, message):
  """One line, with the nearest right value."""
  with pytest.raises(InputError, match=message):
    described(**options)


@pytest.mark.parametrize(
  ('source', 'message'),
  [
    (None, '--data must be npz:PATH or the name of a data set'),
    ('x.npz', "'x.npz' is no name of a data set: a file is npz:x.npz"),
    ('./nowhere', 'a file is npz:./nowhere'),
    ('notes.csv', 'a file is npz:notes.csv'),
    ('npz:notes.csv', 'cannot read notes.csv as .npz: File is not a zip file'),
    ('npz:nowhere.npz', 'cannot read nowhere.npz as .npz: .*No such file'),
    ('npz:.', 'cannot read . as .npz: it is a folder'),
    ('npz:other.npz', "other.npz has no 'inputs': it must hold inputs and labels"),
  ],
)
def test_data_that_cannot_be_read_are_named(folder, monkeypatch, source, message):
  """A path is not looked up among TensorFlow's data sets."""
  monkeypatch.chdir(folder)
  with pytest.raises(InputError, match=message) as caught:
    arrays.read('data', source)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('command', 'page'), [('audit', 'command'), ('update', 'command'), ('defend', 'defence')]
)
def test_help_and_the_page_have_every_flag_in_its_place(command, page, tmp_path):
  """Flags of three modules under three equal titles look like three lists of all."""
  shown = run(command, '--help', cwd=tmp_path).stdout
  text = (ROOT / f'docs/questions/{page}.md').read_text()
  told = set(re.findall(r'^  (--\w+):', shown, re.MULTILINE))
  assert told <= set(re.findall(r'`(--\w+)`', text))
  titles = re.findall(r'^(\w[^\n]*):$', shown, re.MULTILINE)
  assert titles[0] == 'model'
  assert len(titles) == len(set(titles)) > 3
  assert 'flags' not in titles


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
  files += ['--candidates=npz:c.npz', '--public=npz:p.npz', '--fpr=0.1', '--attack=row_space']
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
    ('tests.experiments.own_model:make_with_a_name', 'third .* a mamljax.Learner, .* not str'),
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
  """'auto' and 'all' are words, and one attack by itself is not chosen among others."""
  assert attacks.named('auto') == 'auto'
  assert attacks.named('row_space') == 'row_space'
  assert attacks.named('row_space, loss') == ['row_space', 'loss']
