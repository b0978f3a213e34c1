"""Official builders download and prepare without TensorFlow, here from this machine."""

import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorflow_datasets.core.download.checksums import UrlInfo
from tensorflow_datasets.core.units import Size
from tensorflow_datasets.image_classification import cifar, mnist, omniglot

from mamljax.data import load_dataset, tfds_source
from mamljax.data.preparation import prepare
from mamljax.errors import InputError


class _Server(ThreadingHTTPServer):
  """Serves `files` (path to content) on this machine."""

  files: dict[str, bytes]


class _Handler(BaseHTTPRequestHandler):
  def do_GET(self):
    content = getattr(self.server, 'files').get(self.path)  # noqa: B009
    self.send_response(404 if content is None else 200)
    self.end_headers()
    self.wfile.write(content or b'')

  def log_message(self, format: str, *args: object):
    pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Server]:
  """A server without files, running."""
  monkeypatch.setenv('NO_PROXY', '127.0.0.1')
  with _Server(('127.0.0.1', 0), _Handler) as server:
    server.files = {}
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()


@pytest.fixture
def url(server: _Server) -> str:
  """Its address."""
  return f'http://127.0.0.1:{server.server_port}/'


@pytest.fixture
def served_mnist(
  server: _Server, url: str, idx_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
  """The official MNIST builder downloads the 50 images."""
  server.files = {f'/{x.name}': x.read_bytes() for x in (idx_dir / 'mnist').iterdir()}
  monkeypatch.setattr(mnist.MNIST, 'URL', url)
  monkeypatch.setattr(mnist, '_TRAIN_EXAMPLES', 30)
  monkeypatch.setattr(mnist, '_TEST_EXAMPLES', 20)


@pytest.mark.usefixtures('served_mnist')
def test_mnist_from_the_network(tmp_path: Path, images: np.ndarray, labels: np.ndarray):
  """Else the command of the README needs TensorFlow, or does not work at all."""
  prepared = prepare('mnist', data_dir=tmp_path, idx_dir=None)
  assert prepared.new
  np.testing.assert_array_equal(prepared.counts['train'], [3] * 10)
  found = load_dataset('mnist', data_dir=tmp_path)
  truth = {x.tobytes(): y for x, y in zip(images, labels, strict=True)}
  assert len(found.images) == len(images)
  assert [truth[x.tobytes()] for x in found.images] == found.labels.tolist()
  assert not prepare('mnist', data_dir=tmp_path, idx_dir=None).new


@pytest.mark.usefixtures('served_mnist')
def test_lost_images_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
  """Else a format that loses rows (as TFDS's parquet does) would go unseen."""
  count = tfds_source.count_labels
  monkeypatch.setattr(tfds_source, 'count_labels', lambda x: {'train': count(x)['train']})
  with pytest.raises(InputError, match='does not hold what its source does'):
    prepare('mnist', data_dir=tmp_path, idx_dir=None)


@pytest.mark.usefixtures('served_mnist')
def test_download_is_checked_against_the_published_checksum(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
  """Else whoever answers in the publisher's place decides what MNIST is."""
  wrong = UrlInfo(checksum='0' * 64, size=Size(1), filename='x')
  names = [f'{split}-images-idx3-ubyte.gz' for split in ('train', 't10k')]
  known = {mnist.MNIST.URL + name: wrong for name in names}
  monkeypatch.setattr(
    'tensorflow_datasets.core.download.checksums.load_url_infos', lambda _: known
  )
  with pytest.raises(InputError, match=r"could not prepare 'mnist': .*checksum"):
    prepare('mnist', data_dir=tmp_path, idx_dir=None)
  with pytest.raises(InputError, match='run `python'):
    load_dataset('mnist', data_dir=tmp_path)


def test_missing_download_is_one_line(
  tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
):
  """Else it ends in a traceback."""
  monkeypatch.setattr(mnist.MNIST, 'URL', url)
  with pytest.raises(InputError, match=r"could not prepare 'mnist': .*404") as caught:
    prepare('mnist', data_dir=tmp_path, idx_dir=None)
  assert '\n' not in str(caught.value)


def test_no_network_ends_soon_in_silence_and_without_folders(
  tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
):
  """Else the user waits for minutes (TFDS tries ten times, ever more slowly), reads 19 lines
  of empty bars in a log, and finds empty folders for a data set that is not there.
  """
  monkeypatch.setattr(mnist.MNIST, 'URL', 'http://127.0.0.1:1/')
  (tmp_path / 'old' / 'empty').mkdir(parents=True)
  for data_dir in (tmp_path / 'new' / 'data', tmp_path / 'old'):
    with pytest.raises(InputError, match=r"could not prepare 'mnist': "):
      prepare('mnist', data_dir=data_dir, idx_dir=None)
  assert sorted(tmp_path.rglob('*')) == [tmp_path / 'old', tmp_path / 'old' / 'empty']
  assert 'it/s' not in (said := capfd.readouterr().err)
  assert 'url' not in said


def test_cifar10_from_the_network(
  tmp_path: Path, server: _Server, url: str, monkeypatch: pytest.MonkeyPatch
):
  """Else data sets in archives, given as arrays, cannot be prepared without TensorFlow."""
  records = np.random.default_rng(0).integers(0, 256, (6, 1 + 3 * 32 * 32), np.uint8)
  records[:, 0] = np.arange(6) % 2
  folder = 'cifar-10-batches-bin'
  files = {f'{folder}/data_batch_{i}.bin': records[i - 1].tobytes() for i in range(1, 6)}
  files |= {f'{folder}/test_batch.bin': records[5].tobytes()}
  files |= {f'{folder}/batches.meta.txt': '\n'.join('abcdefghij').encode()}
  buffer = io.BytesIO()
  with tarfile.open(fileobj=buffer, mode='w:gz') as archive:
    for name, content in files.items():
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))
  server.files = {'/cifar.tar.gz': buffer.getvalue()}
  info = cifar.Cifar10(data_dir=tmp_path)._cifar_info._replace(url=f'{url}cifar.tar.gz')
  monkeypatch.setattr(cifar.Cifar10, '_cifar_info', info)
  prepare('cifar10', data_dir=tmp_path, idx_dir=None)
  found = load_dataset('cifar10', data_dir=tmp_path)
  truth = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
  assert {x.tobytes() for x in found.images} == {x.tobytes() for x in truth}
  np.testing.assert_array_equal(found.counts, [3, 3])
  grey = load_dataset('cifar10', data_dir=tmp_path, image_size=28, channels=1)
  assert grey.images.shape == (6, 28, 28, 1)


def test_emnist_from_the_network(
  tmp_path: Path, server: _Server, url: str, idx_dir: Path, monkeypatch: pytest.MonkeyPatch
):
  """Else configurations of a data set, and archives in archives, do not work."""
  with zipfile.ZipFile(buffer := io.BytesIO(), 'w') as archive:
    for path in (idx_dir / 'mnist').iterdir():
      name = path.name.replace('t10k', 'test')
      archive.writestr(f'gzip/emnist-balanced-{name}', path.read_bytes())
  server.files = {'/gzip.zip': buffer.getvalue()}
  monkeypatch.setattr(mnist.EMNIST, 'URL', f'{url}gzip.zip')
  config = mnist.EMNIST.builder_configs['balanced']
  monkeypatch.setattr(config, 'train_examples', 30)
  monkeypatch.setattr(config, 'test_examples', 20)
  prepared = prepare('emnist/balanced', data_dir=tmp_path, idx_dir=None)
  assert prepared.counts['test'].tolist() == [2] * 10 + [0] * 37
  found = load_dataset('emnist/balanced', data_dir=tmp_path)
  np.testing.assert_array_equal(found.counts, [5] * 10)


def omniglot_zip(folder: str, *, alphabet: str, label: int) -> tuple[bytes, np.ndarray]:
  """An archive as Omniglot's, of one character drawn twice, and its images [2, 105, 105]."""
  drawn = np.random.default_rng(label).random((2, 105, 105)) < 0.9
  with zipfile.ZipFile(buffer := io.BytesIO(), 'w') as archive:
    for drawer, pixels in enumerate(drawn, start=1):
      Image.fromarray(pixels).save(png := io.BytesIO(), 'png')  # one bit a pixel
      name = f'{folder}/{alphabet}/character01/{label:04}_{drawer:02}.png'
      archive.writestr(name, png.getvalue())
  return buffer.getvalue(), drawn


def test_omniglot_from_the_network(
  tmp_path: Path, server: _Server, url: str, monkeypatch: pytest.MonkeyPatch
):
  """Else its white is 1, not 255, or images of the small splits stand twice."""
  train, drawn = omniglot_zip('images_background', alphabet='Greek', label=1)
  evaluation, also_drawn = omniglot_zip('images_evaluation', alphabet='Tibetan', label=2)
  parts = {'train': train, 'eval': evaluation, 'small1': train, 'small2': train}
  server.files = {f'/{part}.zip': content for part, content in parts.items()}
  monkeypatch.setattr(omniglot, '_DL_URLS', {part: f'{url}{part}.zip' for part in parts})
  monkeypatch.setattr(omniglot, '_NUM_CLASSES', 2)
  monkeypatch.setattr(omniglot, '_NUM_ALPHABETS', 2)
  prepared = prepare('omniglot', data_dir=tmp_path, idx_dir=None)
  assert {split: sum(x) for split, x in prepared.counts.items()} == dict.fromkeys(
    ('train', 'test', 'small1', 'small2'), 2
  )
  found = load_dataset('omniglot', data_dir=tmp_path)
  assert found.images.shape == (4, 105, 105, 3)
  assert found.duplicates == 0
  truth = {x.tobytes() for x in np.uint8(255) * np.concatenate([drawn, also_drawn])}
  assert {x[..., 0].tobytes() for x in found.images} == truth
