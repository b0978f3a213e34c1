"""Every attack has the same public names, and none can reach what it is to guess."""

import ast
import dataclasses
import inspect
import typing
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import ATTACKS, NEEDS, Candidate, Knowledge, Observation
from mamljax.attacks.observation import Pool
from mamljax.audit.game import Trial
from mamljax.defences import Defence, Gaussian
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Task
from tests.attacks.plays import MEMBERS, OPTIONS, attack, knowledge, observed, played

NAMES = ['Options', 'Info', 'REQUIRES', 'THRESHOLD', 'prepare', 'score']
ALL = [pytest.param(module, id=name) for name, module in ATTACKS.items()]
KEY = jax.random.key(3)


def types_within(kind: typing.Any) -> set[typing.Any]:
  """A type and all that it is made of: fields, members of unions, arguments."""
  parts = list(typing.get_args(kind))
  if isinstance(kind, type) and (hasattr(kind, '_fields') or dataclasses.is_dataclass(kind)):
    parts += typing.get_type_hints(kind).values()
  return {kind}.union(*map(types_within, parts))


def public_names(module: ModuleType) -> list[str]:
  """What a module itself defines, in the order written."""
  names = []
  for node in ast.parse(Path(str(module.__file__)).read_text()).body:
    match node:
      case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
        names.append(name)
      case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
        names.append(name)
  return [name for name in names if not name.startswith('_')]


@pytest.mark.parametrize('name', ATTACKS)
def test_an_attack_is_known_by_its_files_name(name):
  """The names on the command line lead a reader to the code."""
  assert ATTACKS[name].__name__ == f'mamljax.attacks.{name}'


@pytest.mark.parametrize('module', ALL)
def test_every_attack_has_the_same_names_in_the_same_order(module):
  """Who has read one attack has read the shape of all; others are private."""
  assert [name for name in public_names(module) if name in NAMES] == NAMES


@pytest.mark.parametrize('module', ALL)
def test_what_an_attack_is_given(module):
  """Stages of other arguments could not be run by the same runner, or would be told more."""
  prepare, score = (inspect.signature(getattr(module, name)) for name in NAMES[-2:])
  assert list(prepare.parameters) == ['key', 'knowledge', 'options']
  assert prepare.parameters['options'].kind is inspect.Parameter.KEYWORD_ONLY
  expected = ['key', 'prepared', 'observation', 'candidate', 'options']
  assert list(score.parameters) == expected
  assert score.parameters['options'].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize('module', ALL)
def test_what_an_attack_is_given_holds_no_truth(module):
  """A Task or a Trial among its arguments, however deep, would let it look up the answer."""
  given = set()
  for function in (module.prepare, module.score):
    hints = typing.get_type_hints(function)
    given |= set().union(*(types_within(hints[name]) for name in hints if name != 'return'))
  assert {Knowledge, Observation, Candidate} <= given
  assert Pool in given  # public references; the walk does go deep
  assert not {Task, Trial} & given


@pytest.mark.parametrize('module', ALL)
def test_what_an_attack_requires_is_declared_for_each_target(module):
  """An undeclared need would be met with None in the middle of a sweep."""
  assert set(module.REQUIRES) <= {'query', 'support'}
  assert all(needs <= NEEDS for needs in module.REQUIRES.values())


def test_an_observation_holds_no_images_but_the_query_set():
  """A field for the support set would be an invitation."""
  fields = ('gradient', 'support_labels', 'query_labels', 'query_set', 'defence', 'classes')
  assert Observation._fields == fields


@pytest.mark.parametrize('target', ['query', 'support'])
def test_what_is_not_in_the_gradient_is_not_in_the_score(target):
  """Members and non-members whose gradients agree must score alike, bit for bit.

  A network of zeros that does not adapt sends the same gradient whatever its images are: the
  truth is then nowhere to be had but by a leak around the gradient.
  """
  known = knowledge()
  assert known.inner is not None
  blind = dataclasses.replace(
    known,
    params=jax.tree.map(jnp.zeros_like, known.params),
    inner=dataclasses.replace(known.inner, learning_rate=0.0),
  )
  trials, _ = played(target)
  order = np.arange(len(MEMBERS)) ^ 1  # trades the places of members and non-members
  other = jax.tree.map(lambda leaf: leaf[order], trials.task)
  if target == 'support':  # whose attack is shown the query set
    other = other._replace(query=trials.task.query)
  traded = trials._replace(task=other, member=trials.member[order])
  options = dataclasses.replace(OPTIONS, target=target)
  before, after = (
    attack(KEY, blind, observed(told, blind, target=target), trials.candidate, options)[0]
    for told in (trials, traded)
  )
  assert not np.array_equal(trials.task.support.images, traded.task.support.images)
  np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
  ('name', 'double'), [*((name, False) for name in ATTACKS), ('residual_filter', True)]
)
def test_arrays_for_rates_and_noise_are_any_attacks(name, double):
  """Five attacks failed in a scan on bfloat16 parameters with float32 rates, one under x64."""
  module = ATTACKS[name]
  with jax.enable_x64(double):
    network, number = make_network('mlp', ways=2), jnp.float32(0.1)
    shapes = jax.eval_shape(lambda key: init_params(key, network, (12, 12, 1)), KEY)
    params = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.bfloat16), shapes)
    pool = Pool(jnp.zeros((12, 12, 12, 1), jnp.uint8), jnp.arange(2) * 6, jnp.full(2, 6))
    defence = Defence(*(Gaussian(number, number) for _ in range(4)))
    known = Knowledge(CrossEntropy(network), params, InnerLoop(1, number), pool, defence)
    image, labels = jnp.full((12, 12, 1), jnp.float32(0.5)), jnp.arange(2)
    query = Batch(jnp.stack([image, image]), labels)
    seen = Observation(params, labels, labels, query, defence, labels)
    sizes = {n: 2 for n in ('ways', 'shots', 'shadows', 'iterations') if n in fields(module)}
    floats = {n: number for n, kind in fields(module).items() if kind not in (int, str)}
    options = [module.Options(target=t, **sizes, **floats) for t in module.REQUIRES]

    def play(known, seen, candidate, options):
      prepared = module.prepare(KEY, known, options=options)
      return module.score(KEY, prepared, seen, candidate, options=options)[0]

    for each in options:
      told = jax.eval_shape(play, known, seen, Candidate(image, labels[0]), each)
      assert told.shape == ()


def fields(module: ModuleType) -> dict[str, typing.Any]:
  """The options of an attack and their types."""
  return {field.name: field.type for field in dataclasses.fields(module.Options)}
