"""What is shipped, locked and tracked is what it says it is, and nothing else."""

import re
import runpy
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import mamljax

ROOT = Path(__file__).parent.parent
LOCKS = tuple(sorted(path.name for path in ROOT.glob('requirements*.txt')))


def tracked_files() -> list[Path]:
  """What git tracks and still lies in the working tree; a tree without git has none to show."""
  if not (ROOT / '.git').exists():
    pytest.skip('not a git checkout')
  names = subprocess.run(
    ['git', 'ls-files', '-z'], cwd=ROOT, check=True, capture_output=True, text=True
  ).stdout
  return [path for name in names.split('\0') if name and (path := ROOT / name).is_file()]


def pins(lock: str) -> dict[str, str]:
  """The lock's entries: 'name==version', without extras, to the rest: markers and hashes."""
  text = (ROOT / lock).read_text()
  entries = re.split(r'^(?=\S)', re.sub(r'^ *#.*\n', '', text, flags=re.MULTILINE), flags=re.M)
  pattern = r'([\w.-]+)(?:\[[^]]*\])?(==[^\s;]+)(.*)'
  split = (re.match(pattern, entry, re.DOTALL) for entry in entries[1:])
  return {match[1] + match[2]: match[3] for match in split if match}


@pytest.mark.parametrize('lock', LOCKS)
def test_lock_names_no_place(lock: str):
  """Else an installation would depend on one index, mirror or folder."""
  text = (ROOT / lock).read_text()
  assert not re.search(r'://|^\s*-|\s@\s', re.sub(r'^ *#.*|^ +--hash=.*', '', text, flags=re.M))
  assert '://' not in text


@pytest.mark.parametrize('lock', LOCKS)
def test_lock_pins_and_hashes_every_requirement(lock: str):
  """Else what is installed tomorrow is not what was tested today."""
  entries = pins(lock)
  lines = [x for x in (ROOT / lock).read_text().splitlines() if re.match(r'[^\s#]', x)]
  assert len(entries) == len(lines) > 20
  unhashed = [name for name, rest in entries.items() if '--hash=sha256:' not in rest]
  assert not unhashed


def test_lock_keeps_extras():
  """Else pip 23.2 finds coverage[toml], which pytest-cov asks for, unpinned, and stops."""
  text = (ROOT / 'requirements-dev.txt').read_text()
  assert re.search(r'^coverage\[toml\]==', text, re.MULTILINE)


def test_developers_run_the_users_versions():
  """Else the tests say nothing about what a user installs."""
  assert all(pins('requirements.txt').keys() <= pins(lock).keys() for lock in LOCKS)


def test_locks_hold_what_the_project_asks_for():
  """Else someone changed pyproject.toml and forgot `make lock`."""
  config = tomllib.loads((ROOT / 'pyproject.toml').read_text())
  project, extras = config['project'], config['project']['optional-dependencies']
  build = config['dependency-groups']['build']
  used = {
    'requirements.txt': [*project['dependencies'], *build, *extras['experiments']],
    'requirements-dev.txt': extras['dev'],
    'requirements-docs.txt': extras['docs'],
  }
  for lock in LOCKS:
    wanted = used[lock]
    locked = {pin.partition('==')[0] for pin in pins(lock)}
    names = {re.split(r'[^\w.-]', entry)[0].replace('_', '-') for entry in wanted}
    assert names <= locked
  assert set(build) == set(config['build-system']['requires'])


def test_no_second_lock():
  """Else two locks could disagree; this one would also name the index it came from."""
  assert not (ROOT / 'uv.lock').exists()


@pytest.fixture(scope='module')
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
  """The wheel, built from a copy without network or build isolation."""
  source, out = tmp_path_factory.mktemp('source'), tmp_path_factory.mktemp('wheel')
  for name in ('pyproject.toml', 'setup.py', 'README.md', 'LICENSE'):
    shutil.copy(ROOT / name, source)
  for name in ('mamljax', 'experiments', 'tests'):
    ignore = shutil.ignore_patterns('__pycache__')
    shutil.copytree(ROOT / name, source / name, ignore=ignore)
  command = [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-index']
  command += ['--no-build-isolation', '--wheel-dir', str(out), str(source)]
  subprocess.run(command, check=True)
  (wheel,) = out.glob('mamljax-*.whl')
  return zipfile.ZipFile(wheel)


@pytest.fixture(scope='module')
def wheel_names(wheel: zipfile.ZipFile) -> list[str]:
  """The names of the files in the wheel."""
  return wheel.namelist()


def test_an_index_shows_no_broken_link(wheel: zipfile.ZipFile):
  """Else the first page that a user meets has a picture that is not there."""
  (name,) = (name for name in wheel.namelist() if name.endswith('.dist-info/METADATA'))
  text = wheel.read(name).decode()
  assert '# mamljax' in text
  assert 'Description-Content-Type: text/markdown' in text
  assert re.findall(r'\]\((?!https?:)[^)]*\)', text) == []


def test_links_lead_to_the_repository_where_it_is_known():
  """Else the picture would be lost for good."""
  described = runpy.run_path(str(ROOT / 'setup.py'))['described']

  text = described(
    '![a\nb](results/x.png) [c](docs/y.md#z) [d](https://e.org)', 'https://f.org/g'
  )
  assert text == (
    '![a\nb](https://f.org/g/raw/HEAD/results/x.png) '
    '[c](https://f.org/g/blob/HEAD/docs/y.md#z) [d](https://e.org)'
  )


def test_wheel_holds_the_whole_package_and_nothing_else(wheel_names: list[str]):
  """Else an installed mamljax lacks a module, its types or its samples, or litters."""
  shipped = {name for name in wheel_names if '.dist-info/' not in name}
  tops = [ROOT / 'mamljax', ROOT / 'experiments']
  package = (path for top in tops for path in top.rglob('*') if path.is_file())
  expected = {p.relative_to(ROOT).as_posix() for p in package if '__pycache__' not in p.parts}
  assert shipped == expected
  assert 'mamljax/py.typed' in shipped
  assert any(name.startswith('mamljax/data/sample/') for name in shipped)
  assert any(name.endswith('licenses/LICENSE') for name in wheel_names)


def test_samples_stay_small():
  """Else the wheel is no longer something one installs without thinking."""
  sizes = [path.stat().st_size for path in (ROOT / 'mamljax/data/sample').iterdir()]
  assert 0 < sum(sizes) < 1_500_000


def test_importing_mamljax_is_light():
  """Else a user of the pure functions pays for, or needs, what only experiments install."""
  heavy = 'PIL array_record experiments matplotlib tensorflow tensorflow_datasets tqdm'
  probe = f'import sys, mamljax; print(*(set({heavy.split()}) & set(sys.modules)))'
  command = [sys.executable, '-c', probe]
  result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
  assert result.stdout.strip() == ''


def test_tracked_files_name_no_place_of_this_machine():
  """Else something runs here and nowhere else."""
  places = {f'{place}/' for place in (ROOT.parent, Path.home()) if place != Path('/')}
  pattern = re.compile('|'.join([*map(re.escape, sorted(places)), r'python[h]osted']).encode())
  named = {path: pattern.findall(path.read_bytes()) for path in tracked_files()}
  assert {path: found for path, found in named.items() if found} == {}


def test_one_version_everywhere():
  """Else a citation or a bug report names another release than the one that was used."""
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  cited = re.search(r'^version: (\S+)$', (ROOT / 'CITATION.cff').read_text(), re.MULTILINE)
  latest = re.search(r'^## (\S+)$', (ROOT / 'CHANGELOG.md').read_text(), re.MULTILINE)
  assert cited
  assert latest
  assert {mamljax.__version__, cited[1], latest[1]} == {project['version']}
