"""Messages that an attack on a gradient can read, and reasons why it cannot read others."""

from collections.abc import Callable

from mamljax.attacks.base import BaseAttack, name_of
from mamljax.attacks.gaussian.known_noise import unread
from mamljax.attacks.knowledge import Knowledge, known_defence
from mamljax.defences.defence import Defence, per_example
from mamljax.errors import InputError
from mamljax.protocol.learner import Learner

# Of the filters that weigh the gradients of single query images at w.
SUPPORT_ELSEWHERE = {
  'support': (
    'it weighs the gradients of single query images at w, and models no support set, that of '
    "'delta' and 'reptile' included; 'shadow_matched_filter' simulates any learner's"
  )
}


def reads_gradient(learner: Learner) -> str | None:
  """The reason why a message cannot be read as a gradient, for `Attack.refuses`."""
  if learner.kind.is_gradient:
    return None
  return (
    'reads a gradient, and this learner sends a function of its own: as '
    'Custom(function, is_gradient=True), if that is one up to terms small in the rate'
  )


def reads_span(learner: Learner) -> str | None:
  """The reason why a layer's message is no sum of inputs, for `Attack.refuses`.

  A sum of steps is one if each is the gradient of its layer times a number, and also by known
  rates of each parameter, over which `as_gradient` divides.
  """
  if learner.kind.descends and (learner.rate is None or learner.trainable is not None):
    return (
      f'reads the span of gradients, and this learner sends {learner.kind.name!r}, steps by '
      f'{learner.deviation}'
    )
  return reads_gradient(learner)


def check_readable(
  attack: BaseAttack,
  knowledge: Knowledge,
  reads: Callable[[Defence], bool],
  *,
  terms: bool = True,
) -> None:
  """Refuses a defence of which an attack does not know what it makes of a message.

  Args:
    attack: the attack.
    knowledge: what it is told.
    reads: whether what is sent can be read.
    terms: whether steps whose terms are clipped one by one can be simulated.

  Raises:
    InputError: with what is not known.
  """
  defence = known_defence(knowledge)
  if defence is None:
    return
  if not reads(defence):
    raise InputError(f'attack {name_of(attack)!r}: {unread(defence)}')
  if not terms and per_example(defence.inner) is not None:
    raise InputError(
      f'attack {name_of(attack)!r}: steps of clipped terms are not known, of which '
      f"'shadow_matched_filter' simulates any"
    )


class GradientReader(BaseAttack):
  """Defaults of an attack that reads what is sent as a gradient."""

  def refuses(self, learner: Learner, target: str) -> str | None:
    """The reason why the message is no gradient; see `Attack.refuses`."""
    del target
    return reads_gradient(learner)


class SpanReader(BaseAttack):
  """Defaults of an attack that reads the span of a layer's gradient."""

  def refuses(self, learner: Learner, target: str) -> str | None:
    """The reason why a layer's message is no sum of inputs; see `Attack.refuses`."""
    del target
    return reads_span(learner)
