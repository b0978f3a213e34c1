"""Every attack keeps the contract where types do not check it, and none can reach the truth."""

import dataclasses
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.attacks import (
  ATTACKS,
  BaseAttack,
  Candidate,
  Info,
  Knowledge,
  NoiseFilter,
  Observation,
  PatchSpace,
  Reconstruction,
  ResidualFilter,
  RowSpace,
)
from mamljax.attacks.applicability import inapplicable
from mamljax.attacks.base import (
  Requirements,
  guarded,
  name_of,
  required,
  tell,
)
from mamljax.audit.game import Trial
from mamljax.defences import Defence, Gaussian
from mamljax.errors import InputError
from mamljax.maml import InnerLoop
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.types import Batch, Pool, Task
from tests.attacks.plays import ATTACK, MEMBERS, attack, knowledge, observed, played

pytestmark = pytest.mark.optimised

KEY = jax.random.key(3)
KINDS: dict[str, typing.Any] = {**ATTACKS}


def types_within(kind: typing.Any) -> set[typing.Any]:
  """A type and all that it is made of: fields, members of unions, arguments."""
  if isinstance(kind, list):  # the arguments of a Callable
    return set().union(*map(types_within, kind))
  parts = list(typing.get_args(kind))
  if isinstance(kind, type) and (hasattr(kind, '_fields') or dataclasses.is_dataclass(kind)):
    parts += typing.get_type_hints(kind).values()
  return {kind}.union(*map(types_within, parts))


@pytest.mark.parametrize('name', ATTACKS)
def test_an_attack_is_known_by_its_class(name):
  """The names on the command line lead a reader to the code."""
  assert name_of(ATTACKS[name]) == name


@pytest.mark.parametrize('kind', KINDS.values(), ids=KINDS)
def test_an_attack_is_a_frozen_pytree_of_its_options(kind):
  """Real numbers are leaves: were they static, a sweep would compile at each value."""
  assert set(kind.requires) <= {'query', 'support'}
  made = kind()
  fields = {field.name: field for field in dataclasses.fields(made)}
  leaves = {name for name, field in fields.items() if 'static' not in field.metadata}
  assert len(jax.tree.leaves(made)) == len(leaves)
  assert all(type(getattr(made, name)) is float for name in leaves)
  assert not {'target', 'ways', 'shots', 'classes', 'query_set'} & {*fields}
  with pytest.raises(dataclasses.FrozenInstanceError):
    made.requires = {}


@pytest.mark.parametrize('kind', KINDS.values(), ids=KINDS)
def test_what_an_attack_is_given_holds_no_truth(kind):
  """A Task or a Trial among its arguments, however deep, would let it look up the answer."""
  given = set()
  for function in (kind.prepare, kind.score):
    hints = typing.get_type_hints(function)
    given |= set().union(*(types_within(hints[name]) for name in hints if name != 'return'))
  assert {Knowledge, Observation, Candidate} <= given
  assert Pool in given  # public references; the walk does go deep
  assert not {Task, Trial} & given


def test_an_observation_holds_no_images_but_the_query_set():
  """A field for the support set would be an invitation."""
  fields = ('gradient', 'support_labels', 'query_labels', 'query_set', 'classes', 'rates')
  assert Observation._fields == fields


def test_an_attack_is_told_what_it_requires_and_no_more():
  """An attack could use knowledge that it does not require, or be prepared anew for each."""
  pool = Pool(jnp.zeros((4, 2, 2, 1), jnp.uint8), jnp.arange(2) * 2, jnp.full(2, 2))
  everything = dataclasses.replace(
    knowledge(), references=pool, defence=Defence(), shots=2, ways=2
  )
  told = tell(NoiseFilter(), everything)
  assert told == dataclasses.replace(everything, inner=None)
  told = tell(RowSpace(), everything)
  bare = {'inner': None, 'references': None, 'defence': None, 'shots': 0}
  assert told == dataclasses.replace(everything, **bare)


@pytest.mark.parametrize('name', ATTACKS)
@pytest.mark.parametrize('target', ['query', 'support'])
@pytest.mark.parametrize('missing', ['classes', 'query_set'])
def test_what_is_withheld_is_not_required_or_the_attack_refuses(name, target, missing):
  """A silent fallback would be a weaker attack under the same name."""
  made = ATTACKS[name]()
  if target not in made.requires:
    return
  known = Knowledge(
    lambda params, batch: jnp.zeros(()), {}, target=target, withheld=frozenset({missing})
  )
  refused = missing in made.requires[target] - made.optional.get(target, frozenset())
  if not refused:
    assert missing not in required(made, known)
    return
  for ask in (lambda: required(made, known), lambda: made.prepare(KEY, known)):
    with pytest.raises(InputError, match=f"'{name}' on the {target} .* without {missing}, "):
      ask()


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True)
class Brightness(BaseAttack):
  """An attack of a user's own, in no registry."""

  scale: float | jax.Array = 1.0

  requires: typing.ClassVar[Requirements] = {'query': frozenset()}

  @guarded
  def score(self, key, prepared, observation, candidate):
    del key, prepared, observation
    return self.scale * candidate.image.mean(), Info()


def test_why_an_attack_does_not_apply():
  """A grid of all attacks must leave out what cannot be, and say why, before it computes."""
  shape, small = (12, 12, 1), (8, 8, 1)
  network = make_network('conv4', ways=2, filters=2)
  params = jax.eval_shape(lambda key: init_params(key, network, shape), KEY)
  known = Knowledge(CrossEntropy(network), params, ways=2)
  assert inapplicable(Brightness(), known, shape) is None
  assert inapplicable(Reconstruction(), known, shape) is None
  assert 'at least 11 x 11 pixels' in (inapplicable(Reconstruction(), known, small) or '')
  assert inapplicable(Reconstruction(judge='mse'), known, small) is None
  assert 'first layer is fully' in (inapplicable(RowSpace(), known, shape) or '')
  assert 'without references' in (inapplicable(PatchSpace(), known, shape) or '')
  support = dataclasses.replace(known, target='support')
  assert "no target 'support'" in (inapplicable(Brightness(), support, shape) or '')
  blind = dataclasses.replace(known, withheld=frozenset({'classes'}))
  assert 'without classes' in (inapplicable(ResidualFilter(), blind, shape) or '')


@pytest.mark.parametrize('target', ['query', 'support'])
def test_what_is_not_in_the_gradient_is_not_in_the_score(target):
  """Members and non-members whose gradients agree must score alike, bit for bit.

  A network of zeros that does not adapt sends the same gradient whatever its images are: the
  truth is then nowhere to be had but by a leak around the gradient.
  """
  known = knowledge(target)
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
  before, after = (
    attack(KEY, blind, observed(told, blind), trials.candidate, ATTACK)[0]
    for told in (trials, traded)
  )
  assert not np.array_equal(trials.task.support.images, traded.task.support.images)
  np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize(
  ('name', 'double'), [*((name, False) for name in ATTACKS), ('residual_filter', True)]
)
def test_arrays_for_rates_and_noise_are_any_attacks(name, double):
  """Five attacks failed in a scan on bfloat16 parameters with float32 rates, one under x64."""
  kind = KINDS[name]
  with jax.enable_x64(double):
    network, number = make_network('mlp', ways=2), jnp.float32(0.1)
    shapes = jax.eval_shape(lambda key: init_params(key, network, (12, 12, 1)), KEY)
    params = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.bfloat16), shapes)
    pool = Pool(jnp.zeros((14, 12, 12, 1), jnp.uint8), jnp.arange(2) * 7, jnp.full(2, 7))
    defence = Defence(*(Gaussian(number, number) for _ in range(4)))
    loss_fn, inner = CrossEntropy(network), InnerLoop(1, number)
    image, labels = jnp.full((12, 12, 1), jnp.float32(0.5)), jnp.arange(2)
    query = Batch(jnp.stack([image, image]), labels)
    seen = Observation(params, labels, labels, query, labels)
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    sizes = {name: 2 for name in ('shadows', 'iterations') if name in types}
    floats = {name: number for name, kind in types.items() if kind not in (int, str)}

    def play(known, seen, candidate, made):
      prepared = made.prepare(KEY, known)
      return made.score(KEY, prepared, seen, candidate)[0]

    for target in kind.requires:
      game = {'target': target, 'ways': 2, 'shots': 2}
      known = Knowledge(loss_fn, params, inner, pool, defence, **game)
      candidate, made = Candidate(image, labels[0]), kind(**sizes, **floats)
      told = jax.eval_shape(play, known, seen, candidate, made)
      assert told.shape == ()
