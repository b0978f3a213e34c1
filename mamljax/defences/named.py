"""Defences by name, for configurations: 'none' or noise at one of the four points."""

from collections.abc import Callable

import jax

from mamljax.defences.defence import Defence
from mamljax.defences.gaussian import Gaussian
from mamljax.errors import unknown

DEFENCES: dict[str, Callable[[float | jax.Array], Defence]] = {
  'none': lambda scale: Defence(),
  'support_noise': lambda scale: Defence(support=Gaussian(scale)),
  'inner_gradient_noise': lambda scale: Defence(inner=Gaussian(scale)),
  'query_noise': lambda scale: Defence(query=Gaussian(scale)),
  'outgoing_gradient_noise': lambda scale: Defence(outgoing=Gaussian(scale)),
}


def make_defence(name: str, *, scale: float | jax.Array) -> Defence:
  """The defence of that name with Gaussian noise of standard deviation `scale`.

  Raises:
    InputError: if the name is unknown.
  """
  if name not in DEFENCES:
    raise unknown('defence', name, DEFENCES)
  return DEFENCES[name](scale)
