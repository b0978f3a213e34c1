"""Arguments and flagfiles: what cannot be read is a mistake of the user's, in one line."""

import pytest

from experiments.process import arguments
from mamljax.errors import InputError
from tests.experiments.tiny import refused, run


def write(folder, content: bytes) -> str:
  (folder / 'x.flags').write_bytes(content)
  return f'--flagfile={folder}/x.flags'


def test_flagfiles_stand_for_their_lines(tmp_path):
  """In their place, one in another, without comments; a mark of Windows' editors is no flag."""
  (tmp_path / 'inner.flags').write_text('--a=1\n')
  outer = f'# a comment\r\n\r\n--flagfile={tmp_path}/inner.flags\r\n// another\r\n  --b=ü \r\n'
  flagfile = write(tmp_path, b'\xef\xbb\xbf' + outer.encode())
  name, path = flagfile.split('=')
  expected = ['--z=0', '--a=1', '--b=ü', '--c']
  assert arguments.expand(['--z=0', flagfile, '--c']) == expected
  assert arguments.expand(['--z=0', name, path, '--c']) == expected


WRONG = {
  'UTF-16': ('--ways=2\n'.encode('utf-16'), 'is no text in UTF-8: save it as such'),
  'Latin-1': ('# für\n--ways=2\n'.encode('latin-1'), 'is no text in UTF-8'),
  'NUL': (b'--ways=2\0\n', 'is no text in UTF-8'),
  'huge': (b'#' * (2**20 + 1), 'is larger than 1 MiB'),
}


@pytest.mark.parametrize('kind', WRONG)
def test_a_flagfile_in_another_encoding_was_a_traceback(tmp_path, kind):
  """With status 1, which launchers take for a lost process and start again."""
  content, message = WRONG[kind]
  refused(run([write(tmp_path, content)]), message)


@pytest.mark.parametrize(
  ('typed', 'message'),
  [
    ('--flagfile=', 'names no file'),
    ('--flagfile', 'names no file'),
    ('--flagfile=--help', "No such file or directory: '--help'"),
    ('--flagfile=/', 'Is a directory'),
    (f'--{"a" * 2000}=1', 'unknown flag --a{98}...$'),
    ('--stderrthreshold=x', '--stderrthreshold must be one of'),
    ('--quick=word', r'--quick=word: Non-boolean argument to boolean flag word$'),
    ('--output_dir=~nosuchuser/x', r'--output_dir=~nosuchuser/x: the home of ~nosuch'),
    ('--store_dir=~nosuchuser', r'--store_dir=~nosuchuser: the home of ~nosuch'),
    ('--data_dir=~nosuchuser', r'--data_dir=~nosuchuser: the home of ~nosuch'),
  ],
)
def test_what_absl_and_pathlib_did_not_expect_was_a_traceback(typed, message):
  """Deep recursion over a long name, a Python tuple in a sentence, a user who is not known."""
  refused(run([typed]), message)


def test_a_flagfile_in_itself_is_refused(tmp_path):
  """absl warns and goes on with half of it."""
  path = f'{tmp_path}/x.flags'
  with pytest.raises(InputError, match=r'x.flags includes itself'):
    arguments.expand([write(tmp_path, f'--flagfile={path}\n'.encode())])
