"""Messages that an attack on a gradient can read, and reasons why it cannot read others."""

from mamljax.attacks.base import BaseAttack
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
