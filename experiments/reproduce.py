"""The whole paper in one command: `python -m experiments.reproduce`.

Runs the command of each flagfile that --parts names, with results in OUT/<part> and what they
share in OUT/store, then writes the report. The same command again resumes.
"""

from collections.abc import Sequence
from pathlib import Path

from absl import flags

from experiments.analysis.catalogue import SUBJECTS, Entry, known_names, matching
from experiments.process import arguments, cli, preemption, subprocesses
from mamljax.errors import InputError, unknown

_PARTS = flags.DEFINE_list(
  'parts', ['paper'], 'flagfiles to run, such as paper/table1 or table1, or whole subjects'
)
_OUTPUT_DIR = flags.DEFINE_string('output_dir', 'out/all', 'a folder for each part in it')
_QUICK = flags.DEFINE_bool('quick', False, 'a look at each part in minutes; OUT_quick')
_DATA_DIR = flags.DEFINE_string('data_dir', None, 'prepared data sets (default: TFDS)')

SHARING = ('sweep', 'train')  # the modules that know a --store_dir and a --data_dir
QUICK = (*SHARING, 'runtime', 'benchmark', 'growth')  # and those that know --quick


def main(argv: Sequence[str]) -> None:
  """Runs the parts; those that fail are named at the end."""
  del argv
  output_dir = arguments.folder('output_dir', _OUTPUT_DIR.value)
  output_dir = cli.quick_folder(output_dir) if _QUICK.value else output_dir
  parts = list(dict.fromkeys(entry for part in _PARTS.value for entry in _meant(part)))
  if not parts:
    raise InputError('no parts are given: --parts=table1,figure5, or --parts=paper for all')
  failed = [part.name for part in parts if not _run(part.name, _command(part, output_dir))]
  report = subprocesses.command('report', [f'--output_dir={output_dir}'])
  if len(failed) < len(parts) and not _run('report', report):
    failed.append('report')
  if failed:
    raise InputError(f'failed: {", ".join(failed)}; what is said above is why')


def _meant(part: str) -> list[Entry]:
  """The experiments that a part names.

  Raises:
    InputError: if it names none, or several that are not of one subject.
  """
  found = matching(part)
  if not found:
    raise unknown('part', part, known_names())
  if len(found) > 1 and part not in SUBJECTS:
    raise InputError(f'part {part!r} may be {" or ".join(entry.name for entry in found)}')
  return found


def _command(part: Entry, output_dir: Path) -> list[str]:
  """The command of a part, into a folder of its own."""
  options = [f'--flagfile={part.path}', f'--output_dir={output_dir / part.name}']
  if part.module in SHARING:
    options += [f'--store_dir={output_dir / "store"}']
    options += [f'--data_dir={_DATA_DIR.value}'] if _DATA_DIR.value else []
  if part.module in QUICK and _QUICK.value:
    options += ['--quick']
  return subprocesses.command(part.module, options)


def _run(name: str, line: list[str]) -> bool:
  """Whether the command ended well; it prints for itself.

  Raises:
    Interrupted: if it was asked to stop, or this process was.
  """
  print(f'== {name}', flush=True)
  status = subprocesses.run(line, [{}], patient=())
  if preemption.received() or status in preemption.STOPPED:
    raise preemption.Interrupted
  return status == 0


if __name__ == '__main__':
  cli.run(main, resumes=True)
