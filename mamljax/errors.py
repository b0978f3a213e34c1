"""A user's mistake, said in one line that names the value and the nearest right one."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
  """A mistake in what the user asked for; the commands print it and exit with status 2."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
  """An error for a name that is not in a registry.

  Args:
    kind: what the name was to be, such as 'network'.
    name: what the user wrote.
    known: the names that would have been right.

  Returns:
    An `InputError` with the nearest known names first, or all of them if none is near.

  >>> print(unknown('network', 'conv5', ['conv4', 'mlp', 'lenet']))
  unknown network 'conv5': did you mean 'conv4'? (known: conv4, lenet, mlp)
  """
  known = sorted(known)
  near = difflib.get_close_matches(name, known, n=3)
  hint = f'did you mean {" or ".join(map(repr, near))}? ' if near else ''
  return InputError(f'unknown {kind} {name!r}: {hint}(known: {", ".join(known)})')
