"""A mistake is told in a line that a terminal can be given, whatever was typed."""

import pytest

from mamljax.errors import MAX_CHARACTERS, InputError, escaped, unknown


@pytest.mark.parametrize(
  ('typed', 'shown'),
  [
    ('\x1b[2J\x1b[31mout', r'\x1b[2J\x1b[31mout'),
    ('\x07\x08\r\x9b\u202eout\udcff', r'\x07\x08\r\x9b\u202eout\udcff'),
    ('Bilder für später', 'Bilder für später'),
  ],
)
def test_escape_codes_in_a_name_did_reach_the_terminal(typed, shown):
  """They clear the screen, colour what follows, or write over what was said."""
  assert str(InputError(f'cannot write to {typed}')) == f'cannot write to {shown}'
  assert shown in str(unknown('network', f'a{typed}', ['mlp']))


def test_a_refusal_filled_screens():
  """31,000 characters of one line; its beginning and its end say what is wrong."""
  said = str(InputError(f'--ways={"9" * 31_000}: every item must be a number'))
  assert len(said) == MAX_CHARACTERS
  assert said.startswith('--ways=999')
  assert said.endswith('999: every item must be a number')


def test_a_traceback_keeps_its_lines():
  """Only what moves the cursor is escaped."""
  assert escaped('one\n\ttwo\n') == 'one\n\ttwo\n'
