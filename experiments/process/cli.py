"""Start and end of every command; a mistake of the user's ends it with one clear line."""

import contextlib
import inspect
import os
import sys
import textwrap
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

import jax
from absl import app, flags, logging

from experiments.process import arguments, compilation_cache, output, preemption
from mamljax.errors import Diverged, InputError, unknown


def run(main: Callable[[Sequence[str]], None], *, resumes: bool = False) -> None:
  """Runs `main` on the command line, inside `guarded`."""
  logging.set_verbosity(logging.WARNING)  # at INFO JAX reports each backend that is missing

  def checked(argv: Sequence[str]) -> None:
    _pin_randomness()
    _refuse_without_compiler()
    if argv[1:]:
      raise InputError(f'unexpected argument {argv[1]!r}: options are given as --name=value')
    main(argv)

  with guarded(resumes=resumes):
    app.run(checked, flags_parser=_parse)


@contextlib.contextmanager
def guarded(*, resumes: bool = False) -> Iterator[None]:
  """Context in which an error that concerns the user ends the process with one line.

  The line goes to standard error. The exit status is 2 for a wrong flag, an `InputError`, a
  `Diverged` computation and a platform on which JAX cannot start. A request to stop ends the
  process by `preemption.leave`. Errors while printing are ignored.

  Args:
    resumes: whether the same command, run again, continues where it was stopped.
  """
  with output.protected(), preemption.handled(), _in_one_line(resumes):
    yield


@contextlib.contextmanager
def _in_one_line(resumes: bool) -> Iterator[None]:
  try:
    yield
  except (InputError, Diverged, flags.Error) as error:
    _stop(_reason(error))
  except KeyboardInterrupt:
    output.complain('asked to stop' + '; the same command goes on from here' * resumes)
    preemption.leave()
  except Exception:
    if reason := _refused_platform():
      _stop(reason)
    raise


def _parse(argv: Sequence[str]) -> list[str]:
  """Reads the flags; the arguments that are not flags are returned."""
  expanded = arguments.expand(argv)
  if {'--help', '-help', '-h', '--h'} & set(expanded):
    print(inspect.getdoc(sys.modules['__main__']), *_our_flags(), sep='\n')
    sys.exit(0)
  try:
    return flags.FLAGS(expanded)
  except ValueError as error:  # of absl's own flags
    raise InputError(str(error)) from error


def _reason(error: Exception) -> str:
  """The message of an error, without the tuple that absl makes of some messages."""
  reason = error.__context__
  if not isinstance(reason, ValueError) or len(reason.args) < 2:
    return str(error)
  return str(error).replace(str(reason), ' '.join(map(str, reason.args)))


def _refused_platform() -> str | None:
  """The reason why JAX does not start in this environment; None if it starts."""
  try:
    jax.devices()
  except (RuntimeError, AssertionError) as error:
    platforms = os.environ.get('JAX_PLATFORMS', '')
    return f'JAX cannot start (JAX_PLATFORMS={platforms}): {str(error) or "no plugin for it"}'


def _pin_randomness() -> None:
  """Sets one random number generator, whatever the environment of JAX asks for.

  A seed stands for the numbers of this generator, which are the same on any number of devices.
  """
  for name, value in _RANDOMNESS.items():
    if (asked := jax.config.values[name]) != value:
      print(f'{name}={asked} is not used: a seed means the trials of {value}', file=sys.stderr)
      jax.config.update(name, value)


_RANDOMNESS = {'jax_default_prng_impl': 'threefry2x32', 'jax_threefry_partitionable': True}


def _refuse_without_compiler() -> None:
  """Refuses to run with compilation disabled: parts would fail, and the rest take days."""
  if jax.config.values['jax_disable_jit']:
    raise InputError('JAX_DISABLE_JIT keeps JAX from compiling: unset it')


def group(title: str) -> str:
  """The name, for absl, of a group of flags that `--help` shows under a title."""
  return f'{_PACKAGE}: {title}'


_PACKAGE = 'experiments'


def _our_flags() -> list[str]:
  """The help of the flags that the experiments define, group by group, without absl's own."""
  groups: dict[str, list[flags.Flag]] = {}
  for module, defined in flags.FLAGS.flags_by_module_dict().items():
    if module.startswith(_PACKAGE) or module == sys.argv[0]:
      groups.setdefault(module.partition(': ')[2] or 'flags', []).extend(defined)
  lines = []
  for title, members in groups.items():
    lines += ['', f'{title}:', *map(_help, sorted(members, key=lambda flag: flag.name))]
  return lines


def _help(flag: flags.Flag) -> str:
  """The help of one flag, with the default unless it is empty or already in the text."""
  text = ' '.join((flag.help or '').split())
  has_default = flag.default not in (None, '', False, []) and '(default' not in text
  default = (flag.default_as_str or '').strip("'")
  text += f' (default: {default})' if has_default else ''
  return textwrap.fill(
    f'  --{flag.name}: {text}', width=96, subsequent_indent=' ' * 6, break_on_hyphens=False
  )


def _stop(message: str) -> None:
  """Ends the process because of a mistake of the user's."""
  output.complain(message)
  sys.exit(2)


def chosen(kind: str, flag: flags.FlagHolder, known: Collection[str]) -> list[str]:
  """The names in the value of a list flag, each once.

  Raises:
    InputError: if the value is empty, or contains an unknown name.
  """
  names = list(dict.fromkeys(name.strip() for name in flag.value))
  if not names:
    raise InputError(f'no value is given for {flag.name}')
  for name in names:
    if name not in known:
      raise unknown(kind, name, known)
  return names


def quick_folder(folder: Path) -> Path:
  """The folder for the results of --quick: FOLDER_quick, beside FOLDER."""
  named = folder if folder.name not in ('', '..') else folder.resolve()
  return named.with_name(f'{named.name}_quick')


def use_all_cores() -> None:
  """Gives JAX one CPU device per core, so that trials run side by side.

  XLA's own threads hardly speed up one small network. Results do not depend on the number of
  devices. Must be called before JAX is used. An explicit setting of the user's takes
  precedence.
  """
  is_set = 'xla_force_host_platform_device_count' in os.environ.get('XLA_FLAGS', '')
  if not is_set and 'JAX_NUM_CPU_DEVICES' not in os.environ:
    usable = getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))(0)
    jax.config.update('jax_num_cpu_devices', len(usable))


def cache_compilations() -> None:
  """Keeps compiled code in the user's cache folder, unless JAX is set to use another folder."""
  home = _cache_home() if jax.config.values['jax_compilation_cache_dir'] is None else None
  if home and compilation_cache.make_private(folder := home / 'mamljax' / 'xla'):
    jax.config.update('jax_compilation_cache_dir', str(folder))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.2)
  compilation_cache.mend()


def _cache_home() -> Path | None:
  """The user's cache folder; None for a user without a home."""
  try:
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
  except RuntimeError:
    return None
