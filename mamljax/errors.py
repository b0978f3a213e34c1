"""A user's mistake, said in one line that names the value and the nearest right one."""

import difflib
import unicodedata
from collections.abc import Iterable

LONGEST = 1200  # characters of a message: a screenful


class InputError(ValueError):
  """A mistake in what the user asked for; the commands print it and exit with status 2.

  Its message is `readable`, whatever the user typed or named a file.
  """

  def __init__(self, *arguments: object):
    super().__init__(*(readable(a) if isinstance(a, str) else a for a in arguments))


def readable(message: str) -> str:
  r"""A message for a terminal: escaped, and without its middle where it fills the screen.

  >>> readable('no folder \x1b[31mred'), len(readable('x' * 30_000))
  ('no folder \\x1b[31mred', 1200)
  """
  text = escaped(message)
  if len(text) <= LONGEST:
    return text
  end = LONGEST // 4
  return f'{text[: LONGEST - end - 5]} ... {text[-end:]}'


def escaped(text: str) -> str:
  """The text with what moves a cursor, changes colours or cannot be shown as its escape code.

  Lines, tabs and spaces of any kind are kept.
  """
  if text.isprintable():
    return text
  return ''.join(map(_shown, text))


def _shown(letter: str) -> str:
  kept = letter in '\n\t' or letter.isprintable() or unicodedata.category(letter) == 'Zs'
  return letter if kept else letter.encode('unicode_escape').decode()


class Diverged(FloatingPointError):
  """A model, an adaptation or a gradient that is not finite: of it nothing can be reported."""


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
