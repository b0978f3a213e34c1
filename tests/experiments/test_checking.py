"""What a sweep refuses, its --dry_run refuses; and nothing is refused that can be computed."""

import jax
import pytest

from experiments import train
from experiments.engine import checking, memory, models
from mamljax.data import load_dataset, main_memory
from mamljax.errors import InputError
from tests.experiments.configurations import changed, make
from tests.experiments.tiny import arguments, refused, run, write_npz

REFUSED = [
  ('datasets=mnits', "unknown dataset 'mnits': did you mean 'mnist'"),
  ('datasets=mnist data_dir=nowhere', 'python -m experiments.prepare_data --datasets=mnist'),
  ('datasets=npz:nowhere.npz', 'cannot read nowhere.npz'),
  ('ways=50', '50 ways, but .* has only 4 classes'),
  (
    'attacks=row_space networks=conv4',
    "'row_space' needs a network whose first layer is fully",
  ),
  ('output_dir=/dev/null/out', 'cannot write to the output folder /dev/null/out'),
  ('image_size=10', '10 x 10 pixels, and at least 11 x 11 are needed for attack'),
  ('networks=conv4 filters=8192 chunk=64', 'reconstruction on conv4 needs .* GiB at the least'),
]


@pytest.fixture(scope='module')
def npz(tmp_path_factory):
  """Images of 11 x 11 pixels."""
  return write_npz(tmp_path_factory.mktemp('checking') / 'tiny.npz')


@pytest.mark.parametrize(('typed', 'message'), REFUSED)
def test_a_dry_run_accepted_what_the_run_refuses(npz, tmp_path, typed, message):
  """A plan of what cannot be computed is no plan."""
  options = dict(item.split('=', 1) for item in typed.split()) | {'defences': 'none'}
  asked = arguments(npz, tmp_path / 'out', **options)
  ended = run([*asked, '--dry_run'])
  refused(ended, message)
  assert list(tmp_path.iterdir()) == []


def test_a_dry_run_of_training_accepted_what_the_run_refuses(npz, tmp_path):
  """Its flags are the same."""
  asked = arguments(npz, tmp_path / 'out', ways=50)
  refused(run([*asked, '--dry_run'], main=train.main), '50 ways', program='train')
  assert list(tmp_path.iterdir()) == []


def test_images_of_8_pixels_were_refused_for_want_of_an_ssim_that_nobody_asked(tmp_path):
  """The row space compares no windows; neither does a reconstruction judged otherwise."""
  small = write_npz(tmp_path / 'small.npz', size=8)
  cell = make(dataset=f'npz:{small}', network='mlp', ways=2)
  others = [{'attack': 'row_space'}, {'judge': 'mse'}, {'judge': 'residual'}]
  checking.check_cells([changed(cell, **other) for other in others], None)
  with pytest.raises(InputError, match=r'8 x 8 pixels, and at least 11 x 11 .* for attack'):
    checking.check_cells([cell], None)


@pytest.fixture(scope='module')
def splits():
  """Images of 28 x 28 pixels."""
  return models.splits_of(make(), None)


@pytest.mark.parametrize(
  'fields',
  [
    {'filters': 8192},
    {'chunk': 1_000_000},
    {'restarts': 10_000, 'ways': 10, 'chunk': 200},
    {'attack': 'matched_filter', 'network': 'mlp', 'sketch': 100_000},
    {'attack': 'shadow_matched_filter', 'target': 'support', 'shadows': 1_000_000},
    {'tasks_per_round': 100_000, 'epoch': 1},
  ],
  ids=lambda fields: next(iter(fields)),
)
def test_a_cell_beyond_the_memory_was_compiled_first(monkeypatch, splits, fields):
  """It ended in a traceback after minutes, or the system ended it."""
  monkeypatch.setattr(main_memory, 'memory_bytes', lambda: 2 * 2**30)
  cell = make(**fields)
  with pytest.raises(
    InputError, match=r'needs [\d,]+\.\d GiB at the least, and there are 2\.0'
  ):
    memory.check(cell, splits)


def test_what_is_counted_is_no_more_than_is_there(monkeypatch, splits):
  """A cell that fits must not be refused: the count is from below."""
  cell = make(network='mlp', chunk=4)
  params = models.initial_state(cell, splits).params
  (gradients,) = [4 * 4 * sum(leaf.nbytes for leaf in jax.tree.leaves(params))]
  images = 4 * 4 * 2 * 3 * 28 * 28 * 4
  least = 4 * memory.least_numbers(make(network='mlp', chunk=4, attack='row_space'), splits)
  assert least == gradients + images
  monkeypatch.setattr(main_memory, 'memory_bytes', lambda: least * jax.local_device_count())
  memory.check(make(network='mlp', chunk=4, attack='row_space'), splits)


def test_images_of_a_size_that_fills_the_memory_were_resized_first(monkeypatch):
  """--image_size=4096 made 33 GB of the packaged images before anything was said."""
  monkeypatch.setattr(main_memory, 'memory_bytes', lambda: 2**30)
  with pytest.raises(InputError, match=r'2,000 images of 4096 x 4096 pixels need 31.2 GiB'):
    load_dataset('mnist_sample', image_size=4096)
