"""Patches and one matrix product are XLA's convolution, derivatives and all, in float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamljax.convolution import convolve, patches

SHAPES = [((5, 5), 1), ((6, 9), 3)]
FEATURES = 4


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def oracle(images, kernel, *, stride=1, padding='SAME'):
  """XLA's own convolution."""
  return jax.lax.conv_general_dilated(
    images, kernel, (stride, stride), padding, dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


def draw(size, channels, window):
  """Two images and a kernel."""
  rng = np.random.default_rng(0)
  return (
    jnp.asarray(rng.normal(size=(2, *size, channels))),
    jnp.asarray(rng.normal(size=(*window, channels, FEATURES))),
  )


def curvature(convolution, images, kernel):
  """Value, gradients and Hessian-vector product of a scalar that bends in both arguments."""

  def bent(images, kernel):
    return jnp.sin(convolution(images, kernel)).sum()

  slope = jax.grad(bent, argnums=(0, 1))
  direction = jax.tree.map(jnp.cos, (images, kernel))
  return slope(images, kernel), jax.jvp(slope, (images, kernel), direction)[1]


def assert_same(found, expected):
  """Equal to rounding, in shape and type too."""
  assert found.shape == expected.shape
  assert found.dtype == expected.dtype == jnp.float64
  np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('window', [(1, 1), (3, 3), (2, 5)])
def test_equals_xla(window, stride, padding):
  """Else the network's weights mean something else than in every other library."""
  drawn = [draw(size, channels, window) for size, channels in SHAPES]
  found, expected = (
    jax.jit(lambda pairs, f=f: [f(*pair, stride=stride, padding=padding) for pair in pairs])(
      drawn
    )
    for f in (convolve, oracle)
  )
  jax.tree.map(assert_same, found, expected)


@pytest.mark.parametrize(
  ('window', 'stride', 'padding'),
  [((3, 3), 2, 'SAME'), ((2, 3), 1, 'VALID'), ((4, 2), 3, 'SAME')],
)
def test_derivatives_equal_xlas(window, stride, padding):
  """Meta-gradients are second derivatives: an attack would follow a wrong one anywhere."""
  images, kernel = draw((6, 7), 3, window)
  found, expected = (
    jax.jit(
      functools.partial(
        curvature, functools.partial(convolution, stride=stride, padding=padding)
      )
    )(images, kernel)
    for convolution in (convolve, oracle)
  )
  jax.tree.map(assert_same, found, expected)


def test_vmapped_weights_equal_a_loop():
  """The reason for this module: each task's own weights, as one batched product."""
  images, _ = draw((6, 7), 3, (3, 3))
  kernels = jnp.asarray(np.random.default_rng(1).normal(size=(3, 3, 3, 3, FEATURES)))
  together = jax.jit(jax.vmap(functools.partial(convolve, images, stride=2)))(kernels)
  assert_same(together, jnp.stack([oracle(images, kernel, stride=2) for kernel in kernels]))


def test_vmapped_weights_need_no_grouped_convolution():
  """Else the batched product is lost, and with it the speed of every attack."""
  images, kernel = draw((6, 7), 3, (3, 3))
  kernels = jnp.stack([kernel, kernel])
  program = str(
    jax.make_jaxpr(jax.vmap(jax.grad(lambda k: convolve(images, k).sum())))(kernels)
  )
  assert 'conv_general_dilated' not in program
  assert 'dot_general' in program


def traced(backend, monkeypatch, **options) -> str:
  """The program of a convolution, as traced for a backend, with its gradient."""
  monkeypatch.setattr(jax, 'default_backend', lambda: backend)
  images, kernel = draw((6, 7), 3, (3, 3))
  slope = jax.grad(lambda images, kernel: convolve(images, kernel, **options).sum(), (0, 1))
  return str(jax.make_jaxpr(slope)(images, kernel))


@pytest.mark.parametrize(
  ('backend', 'form', 'own'),
  [
    ('cpu', 'auto', False),
    ('cpu', 'xla', True),
    ('gpu', 'auto', True),
    ('tpu', 'auto', True),
    ('gpu', 'patches', False),
  ],
)
def test_form_of_each_backend(backend, form, own, monkeypatch):
  """Fences and patches are for a CPU's sake: an accelerator gets XLA's own convolution."""
  program = traced(backend, monkeypatch, form=form)
  assert ('conv_general_dilated' in program) == own
  assert ('optimization_barrier' in program) != own


@pytest.mark.parametrize('form', ['patches', 'xla'])
def test_precision_is_said_in_every_product(form, monkeypatch):
  """Else an accelerator's default, TF32 or bfloat16, decides how exact a gradient is."""
  product = 'conv_general_dilated[' if form == 'xla' else 'dot_general['
  program = traced('cpu', monkeypatch, form=form)
  assert program.count('HIGHEST') >= 2 * program.count(product) > 0
  assert 'DEFAULT' in traced('cpu', monkeypatch, form=form, precision='default')


def gathered(images: np.ndarray, window: tuple[int, int], stride: int, padding: str):
  """The windows one by one: those of 'SAME' start every stride, centred on the whole."""
  if padding == 'SAME':
    short = [
      max((-(-size // stride) - 1) * stride + extent - size, 0)
      for size, extent in zip(images.shape[1:3], window, strict=True)
    ]
    images = np.pad(images, ((0, 0), *((s // 2, s - s // 2) for s in short), (0, 0)))
  rows, columns = (
    range(0, size - extent + 1, stride)
    for size, extent in zip(images.shape[1:3], window, strict=True)
  )
  cut = [[images[:, i : i + window[0], j : j + window[1]] for j in columns] for i in rows]
  return np.moveaxis(np.array(cut), 2, 0).reshape(len(images), len(rows), len(columns), -1)


WINDOWS = [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (3, 2), (1, 4), (5, 1)]


@pytest.mark.parametrize('padding', ['SAME', 'VALID'])
@pytest.mark.parametrize('stride', [1, 2, 3])
@pytest.mark.parametrize('size', [(5, 7), (8, 6)])
def test_patches_are_the_windows_in_the_order_of_a_kernel(size, stride, padding):
  """Else `kernel.reshape` meets the wrong pixels. Bit for bit: nothing is computed."""
  images = np.random.default_rng(2).normal(size=(2, *size, 3))
  cut = functools.partial(patches, stride=stride, padding=padding)
  found = jax.jit(lambda images: [cut(images, window) for window in WINDOWS])(images)
  for window, of_window in zip(WINDOWS, found, strict=True):
    np.testing.assert_array_equal(of_window, gathered(images, window, stride, padding))
