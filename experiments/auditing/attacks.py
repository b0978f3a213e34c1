"""Attacks on the command line, by name."""


def named(text: str) -> str | list[str]:
  """The attack that a flag names, or several, or one of the words 'auto' and 'all'.

  >>> named('auto'), named('row_space'), named('row_space, loss')
  ('auto', 'row_space', ['row_space', 'loss'])
  """
  names = [name.strip() for name in text.split(',')]
  return names if len(names) > 1 else names[0]
