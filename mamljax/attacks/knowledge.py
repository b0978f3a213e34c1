"""All that an adversary is given, which is never a Task.

The adversary is the meta-learner, passive and white-box (section IV-A): it knows the protocol
and the meta-knowledge that it sent out (`Knowledge`), receives one gradient (`Observation`) and
asks whether one image (`Candidate`) was in the task-learner's data.
"""

import dataclasses
from typing import NamedTuple

import jax

from mamljax import checks
from mamljax.checks import Checked, choice, count
from mamljax.defences.defence import AnyDefence, Defence, as_defence
from mamljax.maml import Inner, as_learner
from mamljax.protocol.messages import WithRates
from mamljax.types import Batch, LossFn, Params, Pool

WITHHOLDABLE = ('classes', 'defence', 'query_set')


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Knowledge(Checked):
  """Knowledge of the adversary before any gradient arrives; shared by all trials at one w.

  Attributes:
    loss_fn: the task's loss. Static: equal losses share one compilation.
    params: the meta-knowledge w.
    inner: the inner loop that task-learners are told to run, or their whole declaration as a
      `Learner`, for the attacks that require 'inner_loop'.
    references: public images of the data's distribution, none of them a task's, equally many
      of each class; for the attacks that require 'references'.
    defence: the protection of learners, as they publish it, that of a `Learner` by default;
      for the attacks that require 'defence'.
    target: 'query' or 'support', the set that is sought.
    ways: slots of a task, 0 if that is not known.
    shots: images of each slot in the targeted set, for the attacks that require 'shots'; 0 if
      that is not known.
    bounds: the least and the greatest number that public images hold, within which an attack
      seeks others: 0 and 1 unless they are normalised otherwise. Static.
    withheld: names among 'classes', 'defence' and 'query_set' of what the adversary is not
      given although an attack would use it.
  """

  loss_fn: LossFn = dataclasses.field(metadata={'static': True})
  params: Params
  inner: Inner | None = None
  references: Pool | None = None
  defence: AnyDefence | None = None
  target: str = dataclasses.field(default='query', metadata=choice(*checks.TARGETS))
  ways: int = dataclasses.field(default=0, metadata=count(0))
  shots: int = dataclasses.field(default=0, metadata=count(0))
  bounds: tuple[float, float] = dataclasses.field(default=(0.0, 1.0), metadata={'static': True})
  withheld: frozenset[str] = dataclasses.field(default=frozenset(), metadata={'static': True})

  def __post_init__(self):
    super().__post_init__()
    checks.interval('bounds', self.bounds)
    for name in self.withheld:
      checks.one_of('name of what is withheld', name, WITHHOLDABLE)


class Observation(NamedTuple):
  """Observation of the adversary in one trial.

  Attributes:
    gradient: the received meta-gradient, a pytree like the parameters; of learners that send
      another message, that as `as_gradient` reads it.
    support_labels: integers [n], the slot of each support image.
    query_labels: integers [n], the slot of each query image.
    query_set: the query set itself, for the attacks that require 'query_set'.
    classes: integers [ways], the class that each slot holds, as `Knowledge.references`
      numbers them; for the attacks that require 'classes'.
    rates: the received gradient in the rates of each parameter, if learners send one.
  """

  gradient: Params
  support_labels: jax.Array
  query_labels: jax.Array
  query_set: Batch | None = None
  classes: jax.Array | None = None
  rates: Params | None = None

  @property
  def message(self) -> Params | WithRates:
    """All that was received: the gradient, and that in the rates where there are any."""
    return self.gradient if self.rates is None else WithRates(self.gradient, self.rates)


class Candidate(NamedTuple):
  """The point (x, y) whose membership is asked.

  Attributes:
    image: float32 [height, width, channels], or a vector [features].
    label: an integer, the slot of the image's class.
  """

  image: jax.Array
  label: jax.Array

  def check(self) -> None:
    """Refuses an image that is no finite floats, or a slot that is no integer."""
    checks.images('the candidate', self.image, leading=0)
    checks.integer('the slot of the candidate', self.label)


def known_defence(knowledge: Knowledge) -> Defence | None:
  """The defence that is known, by itself or as that of the learner; None if there is none."""
  if 'defence' in knowledge.withheld:
    return None
  if knowledge.defence is not None or knowledge.inner is None:
    return as_defence(knowledge.defence)
  return as_defence(as_learner(knowledge.inner).defence)


def known_ways(knowledge: Knowledge) -> int:
  """The slots of a task.

  Raises:
    InputError: if that is not known.
  """
  checks.whole('ways of the knowledge', knowledge.ways, least=1)
  return knowledge.ways
