"""Checkpoints: training taken up again is training that was never interrupted."""

import jax
import numpy as np
import pytest

from experiments.config.cell import Recipe
from experiments.engine import models
from experiments.store import cells
from mamljax import checkpoints
from mamljax.data import make_dataset
from mamljax.errors import Diverged, InputError
from tests.experiments.configurations import changed, make, make_model
from tests.experiments.tiny import write_npz

# With the shapes of the other tests, so that a process compiles the training once.
MODEL = make_model(
  network='mlp',
  ways=2,
  defence='outgoing_gradient_noise',
  noise_scale=0.1,
  tasks_per_round=2,
  rounds_per_epoch=2,
)


@pytest.fixture(scope='module')
def model(tmp_path_factory) -> Recipe:
  npz = write_npz(tmp_path_factory.mktemp('models') / 'tiny.npz')
  return changed(MODEL, dataset=f'npz:{npz}')


def train(model: Recipe, epochs, folder) -> dict:
  """The states after these epochs."""
  splits = models.splits_of(model, None)
  return dict(models.trained_states(model, epochs, splits=splits, store_dir=folder))


def equal(one, other) -> bool:
  """Bit for bit, with the optimiser's state and the round."""
  return jax.tree.all(jax.tree.map(np.array_equal, one, other))


def checkpoint(folder, epoch: int):
  """The file of an epoch; there is one model."""
  (path,) = folder.glob(f'checkpoints/*/epoch_{epoch}.msgpack')
  return path


@pytest.fixture
def rounds(monkeypatch) -> list[int]:
  """The rounds of each call of the training loop."""
  seen, real = [], models._train

  def spy(*positional, rounds: int):
    seen.append(rounds)
    return real(*positional, rounds=rounds)

  monkeypatch.setattr(models, '_train', spy)
  return seen


def test_resumed_training_is_uninterrupted_training(model, tmp_path, rounds):
  """Bit for bit: a table over epochs must not depend on how often the machine was lent."""
  whole = train(model, [1, 2], tmp_path / 'whole')
  assert sum(rounds) == 4
  train(model, [1], tmp_path / 'parts')
  rounds.clear()
  resumed = train(model, [2], tmp_path / 'parts')
  assert sum(rounds) == 2
  assert equal(resumed[2], whole[2])
  assert int(resumed[2].round) == 4
  paths = [checkpoint(tmp_path / name, 2) for name in ('whole', 'parts')]
  assert paths[0].read_bytes() == paths[1].read_bytes()


def test_what_is_kept_is_not_trained_again(model, tmp_path, rounds):
  """Read back, it is what was written."""
  first = train(model, [0, 1, 2], tmp_path)
  rounds.clear()
  again = train(model, [2, 0, 1, 1], tmp_path)
  assert rounds == []
  assert list(again) == [0, 1, 2]
  assert all(equal(first[epoch], again[epoch]) for epoch in first)


def test_epoch_0_is_the_initial_model_and_needs_no_file(model, tmp_path):
  """An untrained model is a function of its seed."""
  (state,) = train(model, [0], tmp_path).values()
  assert equal(state, models.initial_state(model, models.splits_of(model, None)))
  assert int(state.round) == 0
  assert list(tmp_path.iterdir()) == []


def test_a_damaged_checkpoint_is_named_set_aside_and_trained_again(model, tmp_path, caplog):
  """A flipped bit in a weight would go unseen into every attack on the model."""
  before = train(model, [1, 2], tmp_path)
  path, kept = checkpoint(tmp_path, 2), checkpoint(tmp_path, 1).read_bytes()
  whole = path.read_bytes()
  damaged = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
  path.write_bytes(damaged)
  after = train(model, [1, 2], tmp_path)
  assert equal(before[2], after[2])
  assert f'{path} is damaged' in caplog.text
  assert path.read_bytes() == whole
  assert path.with_name(f'{path.name}.damaged').read_bytes() == damaged
  assert checkpoint(tmp_path, 1).read_bytes() == kept


def test_models_do_not_share_checkpoints(model, tmp_path):
  """Another seed or rate under the same name would be attacked as this one."""
  others = [{'seed': 1}, {'outer_learning_rate': 0.5}]
  trained = [train(changed(model, **c), [1], tmp_path) for c in ({}, *others)]
  assert len(list(tmp_path.glob('checkpoints/*/epoch_1.msgpack'))) == 3
  assert not equal(trained[0][1].params, trained[1][1].params)
  assert not equal(trained[0][1].params, trained[2][1].params)


def test_a_model_of_other_code_is_trained_anew(model, tmp_path, rounds, monkeypatch):
  """It was attacked as the present code's, and reported under the present revision."""
  train(model, [1], tmp_path)
  monkeypatch.setattr('experiments.process.provenance.code_key', lambda: 'another')
  train(model, [1], tmp_path)
  assert len(rounds) == 2
  assert len(list(tmp_path.glob('checkpoints/*/epoch_1.msgpack'))) == 2


def test_the_images_of_another_data_dir_are_other_data(monkeypatch, tmp_path):
  """On one store the scores of the first folder were given out as those of the second."""
  images = {name: np.random.default_rng(i).random((8, 4, 4)) for i, name in enumerate('ab')}
  labels = np.arange(8) % 2

  def load(name, *, data_dir, **_):
    return make_dataset(name, images[data_dir.name], labels)

  monkeypatch.setattr(models, 'load_dataset', load)
  found = [[*models.with_keys([make()], tmp_path / name)] for name in 'aba']
  assert found[0] == found[2] != found[1]
  assert cells.cell_hash(found[0][0]) != cells.cell_hash(found[1][0])
  with pytest.raises(InputError, match='mnist_sample has changed since the sweep began'):
    models.splits_of(found[0][0].recipe, tmp_path / 'b')


def test_the_seed_fixes_pools_and_parameters(model):
  """Two runs of one configuration start alike; another seed starts elsewhere."""
  other = changed(model, seed=1)
  first, again, different = (models.splits_of(m, None) for m in (model, model, other))
  assert np.array_equal(first.victims.images, again.victims.images)
  assert not np.array_equal(first.victims.images, different.victims.images)
  states = [models.initial_state(m, first).params for m in (model, model, other)]
  assert equal(states[0], states[1])
  assert not equal(states[0], states[2])


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'ways': 5}, r'5 ways, but .* has only 4 classes'),
    ({'shots': 2}, r'2 shots, but .* allows at most 1'),
    (
      {'image_size': 10, 'network': 'lenet'},
      r'10 x 10 pixels, and at least 12 x 12 are needed for the network lenet',
    ),
  ],
)
def test_tasks_that_the_data_do_not_allow_are_refused(model, change, message):
  """Drawn all the same, an image would stand in a task twice."""
  with pytest.raises(InputError, match=message):
    models.splits_of(changed(model, **change), None)


def test_what_is_too_few_is_named_with_the_copies_that_were_left_out(tmp_path):
  """'allows at most -1' named neither class nor count, 'only 1 classes' no copies."""
  images = np.random.default_rng(0).integers(0, 256, (45, 11, 11), np.uint8)
  labels = np.repeat([3, 7, 9], [20, 20, 5])
  np.savez(tmp_path / 'few.npz', images=images, labels=labels)
  few = changed(MODEL, dataset=f'npz:{tmp_path}/few.npz')
  with pytest.raises(InputError, match=r'allows at most 0.* class 9 has 1 of its 5 images'):
    models.splits_of(few, None)
  np.savez(tmp_path / 'copied.npz', images=images[[*range(20)] * 2], labels=labels[:40])
  copied = changed(MODEL, dataset=f'npz:{tmp_path}/copied.npz')
  with pytest.raises(InputError, match=r'only 1 classes .*left out: 20, all of class 7'):
    models.splits_of(copied, None)


def test_a_model_that_diverged_was_kept_and_attacked(model, tmp_path):
  """Its gradients are not finite, or all zero: every attack on it finds nothing, as on a model
  that protects. Neither is it saved, nor used where it was.
  """
  wild = changed(model, outer_learning_rate=1e30)
  with pytest.raises(Diverged, match=r'training diverged in epoch 1, after [12] rounds'):
    train(wild, [1, 2], tmp_path)
  assert not list(tmp_path.rglob('*.msgpack'))
  right = train(model, [1], tmp_path)
  broken = right[1]._replace(params=jax.tree.map(lambda x: x * np.inf, right[1].params))
  checkpoints.save(checkpoint(tmp_path, 1), broken)
  assert equal(train(model, [1], tmp_path)[1], right[1])


def test_an_adaptation_that_diverges_in_training_is_noticed(model, tmp_path, monkeypatch):
  """What the learner sends may be finite, as of first-order MAML where a ReLU stays dead."""
  lost = jax.numpy.array([1.0, np.nan])
  monkeypatch.setattr(models, '_train', lambda key, state, *_, rounds: (state, lost))
  with pytest.raises(Diverged, match='training diverged in epoch 1, after 2 rounds'):
    train(model, [1], tmp_path)


def test_a_diverged_model_was_right_about_class_0(model, monkeypatch):
  """The argmax of NaN is 0: half of the tasks of two classes were learned, it seemed."""
  monkeypatch.setattr(models, 'META_TEST_TASKS', 10)
  splits = models.splits_of(model, None)
  state = models.initial_state(model, splits)
  broken = state._replace(params=jax.tree.map(lambda x: x * np.nan, state.params))
  with pytest.raises(Diverged, match='inner loop diverged in 10 of 10 tasks'):
    models.measure_learning(model, 3, broken, splits)
