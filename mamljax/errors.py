"""Errors for users' mistakes: one line that names the value and the nearest right one."""

import difflib
import unicodedata
from collections.abc import Iterable

MAX_CHARACTERS = 1200  # of a message: about what a terminal shows at once
_GAP = ' ... '


class InputError(ValueError):
  """A mistake in the user's input; the commands print its message and exit with status 2.

  The message passes through `readable`, since it may quote a file name or a flag with control
  characters or of any length.
  """

  def __init__(self, *arguments: object):
    super().__init__(*(readable(a) if isinstance(a, str) else a for a in arguments))


def readable(message: str) -> str:
  r"""A message that is safe to print: control characters escaped, an overlong middle cut out.

  >>> readable('no folder \x1b[31mred'), len(readable('x' * 30_000))
  ('no folder \\x1b[31mred', 1200)
  """
  text = escaped(message)
  if len(text) <= MAX_CHARACTERS:
    return text
  tail = MAX_CHARACTERS // 4
  head = MAX_CHARACTERS - tail - len(_GAP)
  return text[:head] + _GAP + text[-tail:]


def escaped(text: str) -> str:
  """The text with escape codes in place of characters that a terminal would obey or not show.

  Line breaks, tabs and spaces of any kind are kept; sequences that move the cursor or change
  colours, for one, are not.
  """
  if text.isprintable():
    return text
  return ''.join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
  is_space = character in '\n\t' or unicodedata.category(character) == 'Zs'
  if is_space or character.isprintable():
    return character
  return character.encode('unicode_escape').decode()


class Diverged(FloatingPointError):
  """Divergence: numbers of a model, an adaptation or a gradient that are not finite."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
  """The error for a name that is not in a registry.

  Args:
    kind: the kind of thing that the registry holds, such as 'network'.
    name: the name that the user gave.
    known: the names in the registry.

  Returns:
    An `InputError` with all known names, behind the nearest of them if any is near.

  >>> print(unknown('network', 'conv5', ['conv4', 'mlp', 'lenet']))
  unknown network 'conv5': did you mean 'conv4'? (known: conv4, lenet, mlp)
  """
  known = sorted(known)
  nearest = difflib.get_close_matches(name, known, n=3)
  hint = f'did you mean {" or ".join(map(repr, nearest))}? ' if nearest else ''
  return InputError(f'unknown {kind} {name!r}: {hint}(known: {", ".join(known)})')
