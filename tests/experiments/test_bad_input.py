"""A mistake ends as one clear line and exit status 2: no traceback, nothing written or lost."""

import jax
import numpy as np
import pytest

from experiments import train
from tests.experiments.tiny import CLASSES, arguments, finish, refused, run, start, write_npz

# What was typed, and what the line must say.
NAMES = [
  ('datasets=mnits', r"unknown dataset 'mnits': did you mean 'mnist'"),
  ('datasets=npz', r"unknown dataset 'npz'"),
  ('networks=conv5', r"unknown network 'conv5': did you mean 'conv4'\? \(known: conv4, lenet"),
  ('attacks=likelihood_ration', r"unknown attack .* did you mean 'likelihood_ratio'"),
  ('attacks=reconstrution', r"unknown attack .* did you mean 'reconstruction'"),
  ('defences=support_nois', r"unknown defence .* did you mean 'support_noise'"),
  ('targets=qeury', r"unknown target 'qeury': did you mean 'query'"),
  ('activation=rleu', r"unknown activation 'rleu': did you mean 'relu'"),
  ('normalization=bach', r"unknown normalization 'bach': did you mean 'batch'"),
  ('initialization=pytroch', r"unknown initialization .* did you mean 'pytorch'"),
  ('matmul_precision=float32', r"unknown matmul_precision 'float32'"),
  ('conv4.downsampling=maxpool', r"conv4.downsampling 'maxpool': did you mean 'max_pool'"),
  ('pool=victim', r"unknown pool 'victim': did you mean 'victims'"),
  ('defences=query_noise+suport_noise', r"unknown defence 's.* mean 'support_noise'"),
  ('defences=query_noise+', r"unknown defence ''"),
  ('defences=query_noise+query_noise', r"names 'query_noise' twice"),
  ('defences=-1*query_noise', r"'-1' is not a positive factor"),
  ('reconstruction.labels=guess', r"labels 'guess': \(known: inferred, known\)"),
  (
    'reconstruction.judge=ssmi',
    r"unknown reconstruction.judge 'ssmi': did you mean 'ssim'\? \(known: mse, res",
  ),
  ('withheld=query_sets', r"unknown .* withheld 'query_sets': did you mean 'query_set'"),
  ('patch_space.neighbours=1', r'patch_space.neighbours must be a number of at least 2, not 1'),
  ('patch_space.neighbours=few', r'--patch_space.neighbours=few: every item must be a number'),
  ('reconstruction.judge=ssim,residuals', r"judge 'residuals': did you mean 'residual'"),
  ('non_members=any_clas', r"unknown non_members 'any_clas': did you mean 'any_class'"),
  ('x=wyas', r"unknown x 'wyas': did you mean 'ways'"),
  ('output_dir=', r'--output_dir= names no folder'),
  ('no_such_flag=1', r"'no_such_flag'"),
  ('way=2', r"'way'. Did you mean: ways"),
]
SIZES = [
  (f'ways={CLASSES + 1}', rf'{CLASSES + 1} ways, but .*tiny.npz has only {CLASSES} classes'),
  ('shots=2', r'2 shots, but .*tiny.npz allows at most 1: .*2 x shots x learners \+ 1'),
  ('ways=1', r'ways must be .* at least 2, not 1'),
  *((f'{n}=0', r'must be .* at least [12], not 0') for n in ('ways', 'shots', 'conv4.filters')),
  *((f'{name}=0', f'{name} must') for name in ('trials', 'calibration_trials')),
  ('reconstruction.iterations=0', 'reconstruction.iterations must'),
  *((f'{name}=0', f'{name} must') for name in ('tasks_per_round', 'rounds_per_epoch')),
  *((f'{name}=-1', f'{name} must') for name in ('shots', 'inner_steps', 'seed', 'chunk')),
  ('epochs=-1', r'epoch must be .*, not -1'),
  ('trials=1', r'trials must be .* at least 2, not 1'),
  ('image_size=10', r'10 x 10 pixels, and at least 11 x 11 are needed'),
  ('image_size=-1', r'image_size must be .*, not -1'),
  ('orders=3', r"unknown order '3': \(known: 1, 2\)"),
  ('channels=2', r"unknown channels '2': \(known: 0, 1, 3\)"),
  ('assumed_orders=3', r"unknown assumed_order '3': \(known: 0, 1, 2\)"),
  ('learners=0', r'learners must be .* at least 1, not 0'),
  ('reconstruction.restarts=0', r'reconstruction.restarts must be .* at least 1, not 0'),
  ('learners=2', r'allows at most 0: a trial takes 2 x shots x learners \+ 1 images'),
  ('learning_epochs=-2', r'learning_epoch must be .*, not -2'),
  ('networks=lenet', r'lenet'),  # two windows of five pixels do not fit into eleven
]
NUMBERS = [
  ('ways=two', r"--ways=two: every item must be a number .*'two'"),
  ('ways=2.5', r'--ways=2.5: every item must be a number without a fraction'),
  ('ways=2,,3', r'--ways=2,,3: every item must be a number'),
  ('noise_scales=0.1,big', r'--noise_scales=0.1,big: every item must be a number'),
  ('ways=', r'no value is given for ways'),
  ('datasets=', r'no value is given for dataset'),
  ('trials=many', r"--trials=many: .*'many'"),
  *((f'reconstruction.{n}=nan', f'{n}.*nan') for n in ('tv_weight', 'start_mean')),
  *((f'reconstruction.{n}=inf', f'{n}.*inf') for n in ('learning_rate', 'start_mean')),
  ('noise_scales=nan', r'noise_scale.*nan'),
  ('inner_learning_rates=inf', r'inner_learning_rate.*inf'),
  ('inner_learning_rates=-0.1', r'inner_learning_rate.*-0.1'),
  ('noise_scales=0', r"defence 'outgoing_gradient_noise' needs a positive scale"),
  ('noise_scales=-1', r'noise_scale must be a number of at least 0, not -1'),
  (f'seed={2**70}', r'seed'),
  ('noise_means=inf', r'noise_mean.*inf'),
  ('reconstruction.decay=-1', r'reconstruction.decay must be .* at least 0, not -1'),
  ('clip_noisy_images=maybe', r'--clip_noisy_images=maybe: every item must be true or false'),
  ('quick=maybe', r'--quick=maybe'),
  ('dry_run=maybe', r'--dry_run=maybe'),
]
PLAYS = [
  (
    'attacks=residual_filter withheld=classes',
    r"'residual_filter' on the query set cannot do without classes",
  ),
  *(
    (
      f'attacks={attack} targets={target} normalization=batch',
      r"'\w+' needs images that do not see each other: normalization 'none' or 'group'",
    )
    for attack, target in (
      ('matched_filter', 'query'),
      ('patch_space', 'query,support'),
      ('curvature_filter', 'support'),
      ('residual_filter', 'query,support'),
      ('loss+residual_filter', 'query'),
    )
  ),
]
ARRAYS = {
  'shape': ({'images': np.zeros((80, 11), np.uint8)}, r'images must be \[n, height, width\]'),
  'lengths': ({'labels': np.arange(79) % 4}, r'80 images need labels \[80\], not \[79\]'),
  'pickled': ({'images': np.array([{}] * 80, object)}, r'allow_pickle=False'),
  'nan': ({'images': np.full((80, 11, 11), np.nan)}, r'pixels are outside 0..1, .* nan'),
  'bright': ({'images': np.full((80, 11, 11), 256)}, r'pixels are outside 0..255, .* 256'),
  'negative': ({'labels': np.arange(80) % 4 - 1}, r'labels must be 0 or more, found -1'),
  'fractions': ({'labels': np.arange(80) / 4}, r'labels must be integers'),
  'small': ({'images': np.zeros((80, 10, 12), np.uint8)}, r'images of 10 x 12 pixels'),
}


@pytest.fixture
def npz(tmp_path):
  return write_npz(tmp_path / 'tiny.npz')


@pytest.mark.parametrize(('typed', 'message'), NAMES + SIZES + NUMBERS)
def test_a_wrong_option_is_refused(npz, tmp_path, typed, message):
  """A user must see what to type instead, and find no half-made results."""
  refused(run([*arguments(npz, tmp_path / 'out'), f'--{typed}']), message)
  assert list(tmp_path.iterdir()) == [npz]


@pytest.mark.parametrize(('typed', 'message'), PLAYS)
def test_an_attack_that_cannot_be_played_is_refused(npz, tmp_path, typed, message):
  """Its scores would be of a model that is not the learner's, and look like protection."""
  options = dict(item.split('=') for item in typed.split()) | {'defences': 'none'}
  refused(run(arguments(npz, tmp_path / 'out', noise_scales=0, **options)), message)
  assert list(tmp_path.iterdir()) == [npz]


@pytest.mark.parametrize('name', ARRAYS)
def test_a_wrong_npz_is_refused(npz, tmp_path, name):
  """Images that are not what they should be would be attacked all the same."""
  changed, message = ARRAYS[name]
  good = dict(np.load(npz))
  # The small images must differ, or all but one are left out as copies.
  if name == 'small':
    changed = {'images': good['images'][:, :10, :].repeat(2, axis=2)[:, :, :12]}
  np.savez(npz, **good | changed)
  refused(run(arguments(npz, tmp_path / 'out')), message)
  assert list(tmp_path.iterdir()) == [npz]


def test_an_unreadable_npz_is_refused(tmp_path):
  """Missing, a folder, no archive, cut short, without labels."""
  folder, text, cut, bare = (tmp_path / name for name in ('folder', 'text', 'cut', 'bare.npz'))
  folder.mkdir()
  text.write_text('not an archive')
  whole = write_npz(tmp_path / 'tiny.npz').read_bytes()
  cut.write_bytes(whole[: len(whole) // 2])
  np.savez(bare, images=np.zeros((80, 11, 11), np.uint8))
  for path in (tmp_path / 'missing', folder, text, cut):
    refused(run(arguments(path, tmp_path / 'out')), f'cannot read {path} as .npz')
  refused(run(arguments(bare, tmp_path / 'out')), r"bare.npz has no 'labels'")
  assert not (tmp_path / 'out').exists()


def test_a_data_set_that_is_not_prepared_says_what_to_run(npz, tmp_path):
  """And at once, without asking the network."""
  options = {'datasets': 'mnist', 'data_dir': tmp_path / 'data'}
  command = rf'python -m experiments.prepare_data --datasets=mnist --data_dir={tmp_path}/data'
  refused(run(arguments(npz, tmp_path / 'out', **options)), command)
  assert list(tmp_path.iterdir()) == [npz]


def test_an_output_folder_that_cannot_be_is_refused(npz, tmp_path):
  """Before anything is computed, and without touching the file that is in the way."""
  npz_bytes = npz.read_bytes()
  refused(run(arguments(npz, npz)), f'cannot write to the output folder {npz}')
  refused(run(arguments(npz, npz / 'out')), 'cannot write to the output folder')
  assert npz.read_bytes() == npz_bytes


def test_a_mistake_in_the_last_cell_stops_the_first(npz, tmp_path):
  """Found out after a night of computing, it would have cost the night."""
  refused(run(arguments(npz, tmp_path / 'out', ways='2,3,9')), '9 ways')
  assert list(tmp_path.iterdir()) == [npz]


def test_a_defence_without_a_scale_says_which_flag_gives_it_one(npz, tmp_path):
  """The paper's defences are nothing but their noise."""
  typed = [
    f'--datasets=npz:{npz}',
    f'--output_dir={tmp_path / "out"}',
    '--defences=query_noise',
  ]
  refused(run(typed), "defence 'query_noise' needs a positive scale: give --noise_scales")
  assert list(tmp_path.iterdir()) == [npz]


def test_flagfiles(npz, tmp_path):
  """A missing one is named; in one, a mistake is the same mistake."""
  typed = arguments(npz, tmp_path / 'out')
  missing, wrong, old = (tmp_path / f'{name}.flags' for name in ('missing', 'wrong', 'old'))
  wrong.write_text('# comment\n--networks=conv5\n')
  old.write_text('# comment\n--trails=7\n')
  refused(run([*typed, f'--flagfile={missing}']), f"No such file or directory: '{missing}'")
  refused(run([*typed, f'--flagfile={wrong}']), r"unknown network 'conv5'")
  refused(run([*typed, f'--flagfile={old}']), r"'trails'. Did you mean: trials")
  assert not (tmp_path / 'out').exists()


def test_an_argument_that_is_no_flag_is_refused(npz, tmp_path):
  """`--ways 3 5` means 3 ways and a forgotten comma, not 3 ways."""
  refused(run([*arguments(npz, tmp_path / 'out'), '--ways', '2', '3']), r"argument '3'")
  assert list(tmp_path.iterdir()) == [npz]


def test_nothing_is_lost_by_a_mistake(copied):
  """Finished results stay, byte for byte."""
  before = {path: path.read_bytes() for path in copied.folder.rglob('*') if path.is_file()}
  refused(run(arguments(copied.npz, copied.folder, ways=99)), '99 ways')
  refused(run([*arguments(copied.npz, copied.folder), '--way=2']), "'way'")
  after = {path: path.read_bytes() for path in copied.folder.rglob('*') if path.is_file()}
  assert after == before


@pytest.mark.parametrize('typed', ['networks=conv5', 'ways=99', 'no_such_flag=1'])
def test_training_refuses_the_same_mistakes(npz, tmp_path, typed):
  """The flags are the same, and so is the way out."""
  ended = run([*arguments(npz, tmp_path / 'out'), f'--{typed}'], main=train.main)
  message = typed.partition('=')[2] if 'flag' not in typed else 'no_such_flag'
  refused(ended, message, program='train')
  assert list(tmp_path.iterdir()) == [npz]


@pytest.mark.parametrize(
  ('typed', 'message'),
  [('--no_such_flag=1', r'no_such_flag'), ('--ways=9', r'9 ways, but .* only 4 classes')],
)
def test_a_users_own_terminal(npz, tmp_path, typed, message):
  """As above, in a process of its own: nothing else is printed by any library."""
  process = start([*arguments(npz, tmp_path / 'out'), typed])
  refused(finish(process), message)
  assert list(tmp_path.iterdir()) == [npz]


def test_a_jax_that_does_not_compile_is_refused_at_the_start(tmp_path):
  """JAX_DISABLE_JIT=1 was recorded as the failure of each cell, and the cells left alone."""
  with jax.disable_jit():
    refused(run([f'--output_dir={tmp_path}/out']), 'JAX_DISABLE_JIT keeps JAX from compiling')
  assert not (tmp_path / 'out').exists()
