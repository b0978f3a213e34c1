"""Every public function reads the same way, and no file or function outgrows its reader."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TOPS = ('mamljax', 'experiments', 'benchmarks')
SOURCES = sorted(path for top in TOPS for path in (ROOT / top).rglob('*.py'))
ALL = [*SOURCES, *sorted((ROOT / 'tests').rglob('*.py'))]
MAX_FILE_LINES, MAX_FUNCTION_LINES = 300, 40

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name(path: Path) -> str:
  """The path as a reader knows it, for the names of the tests."""
  return path.relative_to(ROOT).as_posix()


def at(node: Function | ast.ClassDef) -> str:
  """Where the reader of a failure has to look."""
  return f'{node.name}:{node.lineno}'


def public_nodes(parent: ast.Module | ast.ClassDef) -> list[Function | ast.ClassDef]:
  """The statements of a module or class that define a public function or class."""
  defined = (x for x in parent.body if isinstance(x, Function | ast.ClassDef))
  return [node for node in defined if not node.name.startswith('_')]


def public_functions(path: Path) -> list[Function]:
  """Functions, and methods of classes, that neither are private nor sit in what is."""
  nodes = public_nodes(ast.parse(path.read_text()))
  methods = [x for node in nodes if isinstance(node, ast.ClassDef) for x in public_nodes(node)]
  return [node for node in (*nodes, *methods) if isinstance(node, Function)]


def parameters(function: Function) -> list[ast.arg]:
  """Every named parameter in order, without the object or class of a method."""
  listed = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
  return listed[1:] if listed and listed[0].arg in ('self', 'cls') else listed


def code_lines(function: Function, lines: list[str]) -> int:
  """The function's lines of code from `def` on, its own docstring left out."""
  documented = ast.get_docstring(function) is not None
  start = function.body[0].end_lineno if documented else function.lineno - 1
  body = lines[start : function.end_lineno]
  code = sum(bool(line.strip()) and not line.strip().startswith('#') for line in body)
  return code + (function.body[0].lineno - function.lineno) * documented


@pytest.mark.parametrize('path', SOURCES, ids=name)
def test_public_functions_are_annotated(path: Path):
  """Else a caller must read the body to know what goes in and comes out."""
  functions = public_functions(path)
  assert not [at(x) for x in functions if any(y.annotation is None for y in parameters(x))]
  assert not [at(x) for x in functions if x.returns is None]


@pytest.mark.parametrize('path', SOURCES, ids=name)
def test_the_key_comes_first(path: Path):
  """Else a random function is called with its key in a different place each time."""
  functions = public_functions(path)
  assert not [at(x) for x in functions if 'key' in [y.arg for y in parameters(x)[1:]]]


@pytest.mark.parametrize('path', SOURCES, ids=name)
def test_options_are_keyword_only(path: Path):
  """Else f(x, True, 3) says nothing to its reader, and no option can ever be added."""
  assert not [at(x) for x in public_functions(path) if x.args.defaults]


@pytest.mark.parametrize('path', ALL, ids=name)
def test_files_and_functions_stay_short(path: Path):
  """Else an idea no longer fits in one view. A function's docstring and comments are free."""
  lines = path.read_text().splitlines()
  assert len(lines) <= MAX_FILE_LINES
  functions = (x for x in ast.walk(ast.parse(path.read_text())) if isinstance(x, Function))
  long = {x.name: n for x in functions if (n := code_lines(x, lines)) > MAX_FUNCTION_LINES}
  assert long == {}
