"""Provenance of a result: the sources, the settings of JAX, the packages and the commit.

`code_key` is one key for all parts that can change a number. It is part of the configuration
of every cell and model that a command computes, so that results, progress, claims and trained
models of other code or settings have other names, in a shared store, too.
"""

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import jax

ROOT = Path(__file__).parents[2]

_PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'mamljax')
_NUMERIC = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'scipy', 'dm-pix')

# Prefixes of the settings of JAX that change no number: they affect caches, logs, checks or
# the place of a computation. Every other setting counts, also one that a later JAX adds.
_SILENT = (
  *('jax_array_garbage', 'jax_captured', 'jax_check_', 'jax_compilation_cache'),
  *('jax_compiler_detailed', 'jax_cpu_collectives', 'jax_cpu_get', 'jax_cross_host'),
  *('jax_cuda_visible', 'jax_debug_', 'jax_disable_vmap', 'jax_distributed', 'jax_dump'),
  *('jax_enable_checks', 'jax_enable_compilation', 'jax_enable_preemption', 'jax_export'),
  *('jax_enable_recoverability', 'jax_experimental_unsafe', 'jax_explain', 'jax_force_dcn'),
  *('jax_hlo_source', 'jax_include', 'jax_legacy_prng', 'jax_log', 'jax_mock', 'jax_mutable'),
  *('jax_no_tracing', 'jax_num_cpu_devices', 'jax_numpy_rank', 'jax_oneapi_visible'),
  *('jax_pallas_verbose', 'jax_persistent_cache', 'jax_platform', 'jax_pprint', 'jax_raise'),
  *('jax_rocm_visible', 'jax_send_traceback', 'jax_share_binary', 'jax_sort_devices'),
  *('jax_source', 'jax_thread_guard', 'jax_traceback', 'jax_tracer', 'jax_transfer', 'mock'),
)
# Variables with flags of compilers and libraries, and the flags of XLA that change no number.
_VARIABLES = ('XLA_FLAGS', 'LIBTPU_INIT_ARGS', 'NVIDIA_TF32_OVERRIDE')
_SILENT_FLAGS = ('--xla_force_host_platform_device_count', '--xla_dump', '--xla_hlo_profile')


def versions() -> dict[str, str | None]:
  """The versions of Python and of the packages that a result depends on.

  The version is None for a package that can be imported but is not installed.
  """
  return {'python': platform.python_version()} | {name: _version(name) for name in _PACKAGES}


def git_revision(*, folder: str | os.PathLike[str] = Path(__file__).parent) -> str | None:
  """The commit of a checkout, with '-dirty' if tracked files differ; None outside git."""
  command = ['git', 'describe', '--always', '--dirty', '--abbrev=40', '--exclude=*']
  try:
    process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
  except (OSError, subprocess.CalledProcessError):
    return None
  return process.stdout.strip()


def code_key() -> str:
  """The key, 16 hexadecimal digits, of all but cell and data that can change a number.

  It covers the sources that compute a cell, as this process first read them, the versions of
  the numerical packages, and the present settings of JAX and XLA. Comments, docstrings and
  layout do not count.
  """
  packages = {name: _version(name) for name in _NUMERIC}
  return _digest([source_key(), packages, numeric_settings()])


@functools.lru_cache(maxsize=8)
def source_key(*, root: Path = ROOT) -> str:
  """The hash of the sources that compute a cell: mamljax and the imports of the runner."""
  library = sorted((root / 'mamljax').rglob('*.py'))
  trees = {path: ast.parse(path.read_bytes()) for path in library}
  trees |= _reached(root, 'experiments.engine.runner')
  return _digest([(str(path.relative_to(root)), _bare(tree)) for path, tree in trees.items()])


def numeric_settings() -> dict[str, str]:
  """The settings of JAX, and of the compilers below it, that may change a number."""
  config = {
    name: str(value)
    for name, value in jax.config.values.items()
    if not name.startswith(_SILENT)
  }
  return dict(sorted(config.items())) | {
    name: ' '.join(_numeric_flags(os.environ.get(name, '').split())) for name in _VARIABLES
  }


def _numeric_flags(flags: Iterable[str]) -> Iterator[str]:
  """The flags that may change a number, in order, since the last of equal names counts."""
  return (flag for flag in flags if not flag.startswith(_SILENT_FLAGS))


def _reached(root: Path, module: str) -> dict[Path, ast.Module]:
  """The sources that a module imports, directly or not, from its own package, and its own."""
  trees: dict[Path, ast.Module] = {}
  pending = [module]
  while pending:
    path = _file(root, pending.pop())
    if path is not None and path not in trees:
      trees[path] = ast.parse(path.read_bytes())
      pending += sorted(_imported(trees[path], module.partition('.')[0]))
  return dict(sorted(trees.items()))


def _file(root: Path, module: str) -> Path | None:
  """The source file of a module or package; None if the name belongs to something else."""
  path = root / module.replace('.', '/')
  candidates = (path.with_name(f'{path.name}.py'), path / '__init__.py')
  return next((file for file in candidates if file.is_file()), None)


def _imported(tree: ast.Module, package: str) -> set[str]:
  """The dotted names that a source imports from a package: modules, and names in modules."""
  nodes = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
  imports = [node for node in nodes if f'{node.module}.'.startswith(f'{package}.')]
  members = {f'{node.module}.{alias.name}' for node in imports for alias in node.names}
  return members | {str(node.module) for node in imports}


def _bare(tree: ast.Module) -> str:
  """The syntax tree of a source as text, without docstrings, comments and layout."""
  for node in ast.walk(tree):
    if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
      node.body = node.body[1:]
  return ast.dump(tree)


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def _digest(value: object) -> str:
  return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


def _version(package: str) -> str | None:
  try:
    return importlib.metadata.version(package)
  except importlib.metadata.PackageNotFoundError:
    return None
