"""Equations 9 and 10 against NumPy and differences, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mamljax.attacks import Knowledge, Observation
from mamljax.attacks.gradients.objectives import cosine_similarity, objective
from mamljax.maml import InnerLoop
from mamljax.types import Batch, Params

WAYS, SHAPE = 3, (4, 5, 1)
LABELS = np.array([0, 1, 2, 2])
TV_WEIGHT = 0.3
RANDOM = np.random.default_rng(0)
IMAGES, QUERY = RANDOM.uniform(size=(2, len(LABELS), *SHAPE))
PARAMS = {'bias': RANDOM.normal(size=WAYS), 'weight': RANDOM.normal(size=(20, WAYS))}
RECEIVED = {'bias': RANDOM.normal(size=WAYS), 'weight': RANDOM.normal(size=(20, WAYS))}


@pytest.fixture(autouse=True)
def float64():
  """Double precision for one test: other tests share the process."""
  with jax.enable_x64(True):
    yield


def loss_fn(params: Params, batch: Batch, /) -> jax.Array:
  """Softmax regression: its gradient is known in closed form, and it is smooth."""
  logits = batch.images.reshape(len(batch.labels), -1) @ params['weight'] + params['bias']
  return optax.softmax_cross_entropy_with_integer_labels(logits, batch.labels).mean()


def numpy_gradient(params: dict, images: np.ndarray) -> dict[str, np.ndarray]:
  """X'(softmax - one-hot) / n."""
  flat = images.reshape(len(images), -1)
  odds = np.exp(flat @ params['weight'] + params['bias'])
  wrong = (odds / odds.sum(axis=1, keepdims=True) - np.eye(WAYS)[LABELS]) / len(images)
  return {'bias': wrong.sum(axis=0), 'weight': flat.T @ wrong}


def numpy_variation(images: np.ndarray) -> float:
  """The mean step between vertical neighbours plus that between horizontal ones."""
  steps = [images[:, 1:] - images[:, :-1], images[:, :, 1:] - images[:, :, :-1]]
  return sum(np.abs(step).sum() / step.size for step in steps)


def numpy_objective(guessed: dict, images: np.ndarray) -> float:
  """1 - cos(guessed, received) + a TV, number by number."""
  a, b = (np.concatenate([g['bias'], g['weight'].ravel()]) for g in (guessed, RECEIVED))
  cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
  return float(1 - cosine + TV_WEIGHT * numpy_variation(images))


def batch(images) -> Batch:
  return Batch(jnp.asarray(images), jnp.asarray(LABELS))


def value(images, gradient, target: str) -> jax.Array:
  knowledge = Knowledge(loss_fn, PARAMS, InnerLoop(1, 0.7))
  labels = jnp.asarray(LABELS)
  observation = Observation(gradient, labels, labels, batch(QUERY))
  return objective(knowledge, observation, batch(images), target=target, tv_weight=TV_WEIGHT)


def query_value(images, gradient=RECEIVED) -> jax.Array:
  return value(images, gradient, 'query')


def support_value(images, gradient=RECEIVED) -> jax.Array:
  return value(images, gradient, 'support')


def test_query_objective_is_equation_9():
  """An objective with another sign, norm or mean is another attack than the paper's."""
  expected = numpy_objective(numpy_gradient(PARAMS, IMAGES), IMAGES)
  assert float(query_value(IMAGES)) == pytest.approx(expected, rel=1e-12)


def test_support_objective_is_equation_10():
  """The guess is adapted on, the query set judged: g = (I - alpha H_s) grad L(theta; D_q)."""
  alpha, size = 0.7, 1e-6
  slope = numpy_gradient(PARAMS, IMAGES)
  theta = {name: PARAMS[name] - alpha * slope[name] for name in PARAMS}
  outer = numpy_gradient(theta, QUERY)
  # H_s v by a central difference of the closed-form gradient along v.
  moved = (
    numpy_gradient({n: PARAMS[n] + sign * size * outer[n] for n in PARAMS}, IMAGES)
    for sign in (1, -1)
  )
  ahead, behind = moved
  exact = {n: outer[n] - alpha * (ahead[n] - behind[n]) / (2 * size) for n in PARAMS}
  assert float(support_value(IMAGES)) == pytest.approx(numpy_objective(exact, IMAGES), rel=1e-8)


@pytest.mark.parametrize('value', [query_value, support_value])
def test_its_slope_in_the_images_is_that_of_differences(value):
  """The attack descends along this slope: a wrong one finds nothing."""
  direction, size = RANDOM.normal(size=IMAGES.shape), 1e-6
  slope, value = jax.jit(jax.grad(value)), jax.jit(value)
  difference = (value(IMAGES + size * direction) - value(IMAGES - size * direction)) / (
    2 * size
  )
  found = np.vdot(slope(jnp.asarray(IMAGES)), direction)
  assert found == pytest.approx(float(difference), rel=1e-6)


def test_only_total_variation_is_left_where_the_gradients_agree():
  """The images that were sent must be where the attack is driven to."""
  sent = numpy_gradient(PARAMS, IMAGES)
  left, elsewhere = query_value(IMAGES, sent), query_value(IMAGES[::-1], sent)
  assert float(left) == pytest.approx(TV_WEIGHT * numpy_variation(IMAGES), rel=1e-12)
  assert elsewhere > left


@pytest.mark.parametrize('factor', [1e-6, 3.0, -1.0])
def test_cosine_similarity_is_that_of_all_numbers_together(factor):
  """A mean of cosines layer by layer would weigh a bias like a whole layer."""
  a, b = (np.concatenate([g['bias'], g['weight'].ravel()]) for g in (PARAMS, RECEIVED))
  expected = np.sign(factor) * a @ b / np.sqrt((a @ a) * (b @ b))
  scaled = {name: factor * leaf for name, leaf in PARAMS.items()}
  assert float(cosine_similarity(scaled, RECEIVED)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize('dtype', ['float32', 'float64'])
@pytest.mark.parametrize('norms', [(1e-9, 1e-9), (1e-9, 1.0), (1e-9, 1e3)])
def test_cosine_similarity_of_minute_gradients_is_exact(norms, dtype):
  """A well-trained model sends next to nothing: each gradient must be normalised on its own."""
  flat = [np.concatenate([g['bias'], g['weight'].ravel()]) for g in (PARAMS, RECEIVED)]
  lengths = [np.linalg.norm(numbers) for numbers in flat]
  small, other = (
    {name: jnp.asarray(norm / length * leaf, dtype) for name, leaf in gradient.items()}
    for norm, length, gradient in zip(norms, lengths, (PARAMS, RECEIVED), strict=True)
  )
  expected, rounding = flat[0] @ flat[1] / np.prod(lengths), 10 * float(np.finfo(dtype).eps)
  assert float(cosine_similarity(small, other)) == pytest.approx(expected, abs=rounding)
  assert float(cosine_similarity(small, small)) == pytest.approx(1, abs=rounding)


def test_a_zero_gradient_has_cosine_zero_and_a_finite_slope():
  """A dead network sends zeros: NaN would poison the whole reconstruction."""
  zeros = jax.tree.map(np.zeros_like, PARAMS)
  for pair in ((zeros, RECEIVED), (RECEIVED, zeros), (zeros, zeros)):
    assert cosine_similarity(*pair) == 0
  assert np.isfinite(jax.jit(jax.grad(query_value))(jnp.asarray(IMAGES), zeros)).all()
  assert query_value(IMAGES, zeros) >= 1
