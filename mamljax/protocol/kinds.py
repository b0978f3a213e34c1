"""Kinds of messages that a task-learner may send, by name and with their options."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from mamljax.checks import Checked, count, positive
from mamljax.errors import InputError


class Kind(Checked):
  """Properties of a message that the adversary, who knows the protocol, can go by.

  Attributes:
    name: the name in `SENDS`, or that of the options.
    uses_query: False if nothing of the query set is in the message.
    is_gradient: False if it is not, up to terms that are small in the rate, a gradient of the
      loss, so that an attack that reads a gradient would read something else.
    is_first_order: True if the derivative of the adapted parameters in w is taken for the
      identity.
    descends: True if it is made of steps of the adaptation, not of a derivative through them.
  """

  name: str = ''
  uses_query: bool = True
  is_gradient: bool = True
  is_first_order: bool = False
  descends: bool = False


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ExactMAML(Kind):
  """Exact gradient of the query loss in w, through all steps (equation 4)."""

  name = 'maml'


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class FirstOrderMAML(Kind):
  """Gradient of the query loss at the adapted parameters (equation 7)."""

  name = 'fomaml'
  is_first_order = True


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reptile(Kind):
  """w - theta, from the support set alone (Nichol et al., 2018)."""

  name = 'reptile'
  uses_query = False
  descends = True


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Delta(Kind):
  """Weight delta theta - w, from the support set alone, as in federated averaging."""

  name = 'delta'
  uses_query = False
  descends = True


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ImplicitMAML(Kind):
  """Implicit MAML (Rajeswaran et al., 2019): adaptation with a pull towards w.

  The inner steps descend on L(theta; D_s) + strength / 2 |theta - w|^2. At its minimum the
  meta-gradient v solves (I + H / strength) v = grad L(theta; D_q), H the Hessian of the support
  loss; conjugate gradients approach it, whether or not the steps arrived at the minimum.

  Attributes:
    strength: lambda of the pull; a leaf, so that a change does not recompile.
    iterations: most steps of conjugate gradients (a length).
  """

  strength: float | jax.Array = dataclasses.field(default=1.0, metadata=positive())
  iterations: int = dataclasses.field(default=10, metadata=count(1))

  name = 'imaml'


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Custom(Kind):
  """Message of a user's own function, with what attacks may assume of it.

  Attributes:
    function: `(loss_fn, params, task, adapt) -> pytree`, where `adapt(params, support)` gives
      the adapted parameters, a defence's noise on the adaptation included, differentiable in
      both; a pure function of JAX. Static.
    is_gradient: True if the pytree is like the parameters and, up to terms that are small in
      the rate, the gradient of the mean query loss: attacks that read a gradient are refused
      otherwise, and those that simulate the learner are not.
    uses_query: False if the query set is not looked at.
  """

  function: Callable[..., Any] = dataclasses.field(metadata={'static': True})
  is_gradient: bool = dataclasses.field(default=False, metadata={'static': True})
  uses_query: bool = dataclasses.field(default=True, metadata={'static': True})

  name = 'a function'

  def __post_init__(self):
    if not callable(self.function):
      raise InputError(f'the function of a message must be callable, not {self.function!r}')


# Without options, or with the default ones.
SENDS: dict[str, Kind] = {
  kind.name: kind
  for kind in (ExactMAML(), FirstOrderMAML(), Reptile(), ImplicitMAML(), Delta())
}
