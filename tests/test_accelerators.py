"""Programs for accelerators, lowered on a machine without one; nothing is compiled or run.

JAX lowers for CUDA, ROCm and TPU anywhere. That proves that every operation has a rule there,
and says which calls leave XLA for a library. It does not prove that XLA compiles the program,
and says nothing of numbers or times. The library is told that its default backend is a GPU, so
that it takes the forms of an accelerator: XLA's own convolutions, no option of the CPU's
compiler.
"""

import dataclasses
import functools
import re
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax import ImplicitMAML, Learner
from mamljax.attacks import ATTACKS, Knowledge
from mamljax.attacks.base import tell
from mamljax.audit import trials
from mamljax.audit.likelihood_ratio import LikelihoodRatio
from mamljax.audit.placement import trials_mesh
from mamljax.audit.playing import prepare_attack
from mamljax.audit.trials import Rules, Setting
from mamljax.defences import Defence, DPExamples, DPGaussian, make_defence
from mamljax.learner import send
from mamljax.maml import InnerLoop
from mamljax.networks import INITIALIZATIONS, NETWORKS, Convolution, CrossEntropy, init_params
from mamljax.training import Training, init, meta_test, train
from mamljax.types import Batch, Pool, Task

PLATFORMS = ('cuda', 'rocm', 'tpu')
WAYS, CLASSES, EACH, SHAPE = 2, 3, 5, (12, 12, 1)
SMALL = {'shadows': 2, 'swaps': 2, 'sketch': 16, 'neighbours': 2, 'iterations': 2}
SEEKING = [(name, target) for name, kind in ATTACKS.items() for target in kind.requires]
# Factorisations of vendors' libraries on GPUs, and of XLA itself on a TPU. Any other call, such
# as one of LAPACK or of Python, would have to be looked at before it is listed here.
FACTORISATIONS = re.compile(
  r'(cu|hip)solver_(potrf|geqrf|orgqr|gesvdj?|syevd)_ffi'
  r'|Qr|Eigh|ProductOfElementaryHouseholderReflectors'
)
CHOLESKY = {'cusolver_potrf_ffi', 'hipsolver_potrf_ffi'}
# The others multiply, convolve and sort, all of which XLA does itself.
BY_CHOLESKY = {
  'matched_filter',
  'shadow_matched_filter',
  'curvature_filter',
  'residual_filter',
}
BY_DECOMPOSITION = {'row_space', 'patch_space', 'noise_filter', 'shadow_classifier'}


class Small(nn.Module):
  """A hidden layer of ReLUs: a convolution, or fully connected for what reads its span."""

  is_dense: bool = False

  @nn.compact
  def __call__(self, images: jax.Array) -> jax.Array:
    flat = images.reshape(len(images), -1)
    first = nn.Dense(8) if self.is_dense else Convolution(4, 3, INITIALIZATIONS['he'], stride=2)
    hidden = nn.relu(first(flat if self.is_dense else images))
    return nn.Dense(WAYS)(hidden.reshape(len(images), -1))


@pytest.fixture(autouse=True)
def on_an_accelerator(monkeypatch):
  """JAX itself does not ask by this name: only the library believes it."""
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')


def lowered(function: Any, *arguments: Any) -> str:
  """The program of a function for all platforms at once; the arguments may be shapes.

  JAX refuses a call of Python, and one that it does not know to be stable.
  """
  return jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).mlir_module()


def calls(program: str) -> set[str]:
  """Calls to what is not XLA's own, none of them in float64, Python or LAPACK."""
  assert not re.search(r'\bf64\b|xf64>', program)
  found = set(re.findall(r'custom_call @([\w.]+)', program))
  assert all(FACTORISATIONS.fullmatch(name) for name in found), found
  return found


def shapes(function: Any, *arguments: Any) -> Any:
  """The shapes that a function returns."""
  return jax.eval_shape(function, *arguments)


KEY = shapes(lambda: jax.random.key(0))


def pool() -> Pool:
  """The shapes of three images of each class."""
  counts: Any = jax.ShapeDtypeStruct((CLASSES,), jnp.int32)
  images: Any = jax.ShapeDtypeStruct((CLASSES * EACH, *SHAPE), jnp.uint8)
  return Pool(images, counts, counts)


def task() -> Task:
  """The shapes of a task of one image a class."""
  images: Any = jax.ShapeDtypeStruct((WAYS, *SHAPE), jnp.float32)
  labels: Any = jax.ShapeDtypeStruct((WAYS,), jnp.int32)
  batch = Batch(images, labels)
  return Task(batch, batch)


def make_params(loss: CrossEntropy) -> Any:
  """The shapes of a network's parameters."""
  return shapes(lambda: init_params(jax.random.key(0), loss.network, SHAPE))


def knowledge(target: str, *, is_dense: bool = False) -> Knowledge:
  """Of all attacks together, in shapes."""
  loss = CrossEntropy(Small(is_dense))
  shared = {'target': target, 'ways': WAYS, 'shots': 1}
  return Knowledge(loss, make_params(loss), InnerLoop(1, 0.1), pool(), Defence(), **shared)


def small(kind: Any) -> Any:
  """An attack with options that trace to little."""
  has = {field.name for field in dataclasses.fields(kind)}
  return kind(**{name: value for name, value in SMALL.items() if name in has})


def draw(key: Any, pool: Pool, *, target: str) -> Any:
  """The first four trials."""
  return trials.draw(key, pool, jnp.arange(4), rules=Rules(WAYS, 1, target))


def make_setting(attack: Any, known: Knowledge, prepared: Any) -> Setting:
  """The setting of undefended learners."""
  shared = {'inner': InnerLoop(1, 0.1), 'defence': Defence(), 'chunk': 2}
  rules = Rules(WAYS, 1, known.target)
  return Setting(knowledge=known, prepared=prepared, attack=attack, rules=rules, **shared)


@pytest.mark.parametrize(('name', 'target'), SEEKING)
def test_every_attack_lowers_for_every_accelerator(name, target):
  """An attack that needs LAPACK, Python or float64 would be first found out on a rented GPU.

  As in a game: prepared, and scored over chunks of trials that are shared out over a mesh.
  """
  attack = small(ATTACKS[name])
  known = tell(attack, knowledge(target, is_dense=name in ('row_space', 'silent_units')))
  prepare = functools.partial(prepare_attack, kind=type(attack))
  setting = make_setting(attack, known, shapes(prepare, KEY, attack, known))
  keys, drawn = shapes(functools.partial(draw, target=target), KEY, pool())
  mesh = trials_mesh(devices=1)
  seen, _ = shapes(functools.partial(trials.observe, mesh=mesh), keys, drawn, setting)

  def play(key, known, keys, drawn, seen):
    told = make_setting(attack, known, prepare(key, attack, known))
    return trials.attack(keys, drawn, seen, told, mesh=mesh)

  found = calls(lowered(play, KEY, known, keys, drawn, seen))
  if name in BY_DECOMPOSITION:
    assert found - CHOLESKY
  else:
    assert found == (CHOLESKY if name in BY_CHOLESKY else set())


@pytest.mark.parametrize('target', ['query', 'support'])
def test_trials_and_their_bound_lower(target):
  """Else no game could be played on an accelerator, and no ceiling drawn over it."""
  mesh = trials_mesh(devices=1)

  def play(key, pool, known):
    keys, drawn = draw(key, pool, target=target)
    setting = make_setting(LikelihoodRatio(), known, None)
    bound = trials.bound(keys, drawn, setting, mesh=mesh)
    cosine = make_setting(ATTACKS['gradient_cosine'](), known, known)
    return bound, trials.observe(keys, drawn, cosine, mesh=mesh)

  program = lowered(play, KEY, pool(), knowledge(target))
  assert calls(program) == set()
  assert 'stablehlo.convolution' in program  # not the patches of a CPU


LEARNERS = {
  'maml': Learner(2, 0.1),
  'fomaml': Learner(1, 0.1, sends='fomaml'),
  'reptile': Learner(2, 0.1, sends='reptile'),
  'delta': Learner(2, 0.1, sends='delta'),
  'imaml': Learner(1, 0.1, sends=ImplicitMAML(2.0, 2)),
}
DEFENCES = {
  'noise': make_defence(
    '+'.join(f'{point}_noise' for point in ('support', 'inner_gradient', 'query')), scale=0.1
  ),
  'dp_gaussian': DPGaussian(1.0, 1.0),
  'dp_examples': DPExamples(1.0, 1.0),
}


@pytest.mark.parametrize(
  ('learner', 'defence'),
  [*((name, None) for name in LEARNERS), *(('maml', name) for name in DEFENCES)],
)
def test_every_message_and_defence_lowers(learner, defence):
  """A protocol or a noise that ran on CPUs alone would leave accelerators unaudited."""
  loss = CrossEntropy(Small())
  protect = None if defence is None else DEFENCES[defence]

  def sent(key, params, task):
    return send(key, loss, params, task, LEARNERS[learner], defence=protect)

  assert calls(lowered(sent, KEY, make_params(loss), task())) == set()


@pytest.mark.parametrize('name', NETWORKS)
def test_meta_training_lowers_for_every_network(name):
  """A round of Adam on the mean of learners' gradients, and the test of what it is worth."""
  loss = CrossEntropy(NETWORKS[name](ways=WAYS))
  training = Training(
    loss_fn=loss, inner=InnerLoop(1, 0.1), ways=WAYS, shots=1, tasks_per_round=2
  )

  def learn(key, params, pool):
    state, norms = train(key, init(params), pool, training, rounds=2)
    return norms, meta_test(key, state.params, pool, training, tasks=2)

  assert calls(lowered(learn, KEY, make_params(loss), pool())) == set()


SQUARE = jax.ShapeDtypeStruct((3, 3), jnp.float32)


def double(x: jax.Array) -> jax.Array:
  """A product in float64, whatever the process is set to."""
  with jax.enable_x64(True):
    return x.astype(jnp.float64) @ x.astype(jnp.float64)


def ask_python(x: jax.Array) -> jax.Array:
  """A number that the host computes."""
  return jax.pure_callback(np.sin, x, x)


@pytest.mark.parametrize('function', [ask_python, jnp.linalg.eigvals, jax.scipy.linalg.schur])
def test_what_needs_the_host_does_not_lower(function):
  """Positive control: were these lowered, the tests above would prove nothing."""
  with pytest.raises(NotImplementedError, match=r'not found for platforms|python_callback'):
    lowered(function, SQUARE)


def test_the_look_at_programs_finds_lapack_and_float64():
  """Positive control: a CPU's program of the same factorisation calls LAPACK."""
  assert calls(lowered(jnp.linalg.cholesky, SQUARE)) == CHOLESKY
  on_cpu = jax.export.export(jax.jit(jnp.linalg.cholesky), platforms=['cpu'])(SQUARE)
  with pytest.raises(AssertionError, match='lapack_spotrf_ffi'):
    calls(on_cpu.mlir_module())
  with pytest.raises(AssertionError):
    calls(lowered(double, SQUARE))
