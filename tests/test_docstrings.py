"""Every docstring opens with a verb or a noun phrase that names the thing in the field's term.

A reader meets the first line alone: in an editor's pop-up, in a list of functions, in help. A
relative clause there ('Whoever knows ...') has no noun, and a pronoun ('Its mean') refers to
nothing that the reader sees. ruff's `D` rules hold the rest of the form.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ('mamljax', 'experiments', 'benchmarks')
SOURCES = sorted(path for top in TOPS for path in (ROOT / top).rglob('*.py'))

CLAUSE = r'how|that|what\w*|when\w*|where\w*|whether|which\w*|who|whoever|whom|whose'
PRONOUN = r'it|its|they|their|theirs|this|these|those|the same'
PREPOSITION = r'as|at|by|for|from|in|inside|of|on|to|with|within|without'
UNFIT = re.compile(rf'({CLAUSE}|{PRONOUN}|{PREPOSITION})\b(?!-)|.*\bwhoever\b', re.IGNORECASE)

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def summaries(source: str) -> Iterator[tuple[int, str]]:
  """The line and the summary of each docstring of a module."""
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, Documented) and (text := ast.get_docstring(node)):
      yield getattr(node, 'lineno', 1), text.partition('\n')[0]


def unfit(source: str) -> list[str]:
  """The summaries of a module that name nothing, behind their lines."""
  return [f'{line}: {text}' for line, text in summaries(source) if UNFIT.match(text)]


def test_a_docstring_names_its_thing():
  """Else a reader must read the body to know what the thing is."""
  found = {str(path.relative_to(ROOT)): unfit(path.read_text()) for path in SOURCES}
  assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
  'summary',
  [
    'What the learner sends.',
    'Whether the candidate is a member.',
    'How a learner adapts.',
    'Whatever is left.',
    'Its mean.',
    'The same, one segment at a time.',
    'Of one body.',
    'Within it, nothing is printed.',
    'Upper bound: the test of whoever knows all but the bit.',
  ],
)
def test_a_clause_or_a_pronoun_names_nothing(summary: str):
  """Else the test above passes whatever is written."""
  for source in (
    f'"""{summary}"""',
    f'class A:\n  """{summary}"""',
    f'class A:\n  def f(self):\n    """{summary}"""',
    f'def f():\n  """{summary}\n\n  More.\n  """',
  ):
    assert len(unfit(source)) == 1


@pytest.mark.parametrize(
  'summary',
  [
    'Tests whether the received gradient contains that of the candidate.',
    'Upper bound: the likelihood-ratio test given everything but membership.',
    'In-place update of the weights.',
    'Itemised costs.',
    "'patches' on a CPU, 'xla' on other backends.",
  ],
)
def test_a_verb_or_a_noun_phrase_names_the_thing(summary: str):
  """Else the test above forbids plain English."""
  assert unfit(f'def f():\n  """{summary}"""') == []
