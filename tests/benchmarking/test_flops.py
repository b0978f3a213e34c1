"""The FLOPs that the benchmark divides by are those of closed forms."""

import jax
import jax.numpy as jnp
import pytest

from experiments.benchmarking.flops import Flops, count_flops

SQUARE, TIMES = jnp.ones((8, 8)), 7
PRODUCT = 2 * 8**3
NHWC = ('NHWC', 'HWIO', 'NHWC')


def turns(body):
  """A loop of a known length over that body."""
  return lambda x: jax.lax.scan(lambda carry, _: (body(carry), None), x, length=TIMES)[0]


def on_a_mesh(x):
  """A product on each device of a mesh."""
  mesh = jax.make_mesh((1,), ('i',), axis_types=(jax.sharding.AxisType.Auto,))
  split = jax.sharding.PartitionSpec('i')
  share = jax.shard_map(lambda y: y @ y, mesh=mesh, in_specs=split, out_specs=split)
  return share(x)


COUNTED = {
  'product': (lambda x: x @ x, Flops(PRODUCT)),
  'two products': (lambda x: x @ x @ x, Flops(2 * PRODUCT)),
  'sums are not counted': (lambda x: jnp.sin(x) + x, Flops()),
  'a product that nobody uses': (lambda x: (x @ x, x)[1], Flops()),
  'scan': (turns(lambda x: x @ x), Flops(TIMES * PRODUCT)),
  'scan in a scan': (turns(turns(lambda x: x @ x)), Flops(TIMES**2 * PRODUCT)),
  'jit': (jax.jit(lambda x: x @ x), Flops(PRODUCT)),
  'shard_map': (on_a_mesh, Flops(PRODUCT)),
  'gradient': (jax.grad(lambda x: jnp.sin(x @ SQUARE).sum()), Flops(2 * PRODUCT)),
  'computed again': (
    jax.grad(jax.checkpoint(lambda x: jnp.sin(jnp.sin(x @ SQUARE) @ SQUARE).sum())),
    Flops(4 * PRODUCT),
  ),
  'the dearest branch': (
    lambda x: jax.lax.cond(x[0, 0] > 0, lambda: x @ x, lambda: x @ x @ x),
    Flops(2 * PRODUCT, conds=1),
  ),
  'while': (
    lambda x: jax.lax.while_loop(lambda y: y[0, 0] < 9, lambda y: y @ y, x),
    Flops(PRODUCT, whiles=1),
  ),
  'a batch': (lambda x: jax.vmap(jnp.dot)(x[:, :4, None], x[:, None]), Flops(2 * 8 * 4 * 8)),
  'a scan in part unused': (
    lambda x: jax.lax.scan(lambda c, _: (c + x, c @ x), x, length=TIMES)[0],
    Flops(),
  ),
}


@pytest.mark.parametrize('name', COUNTED)
def test_counts(name):
  """A wrong count is a wrong fraction of the machine's peak."""
  function, expected = COUNTED[name]
  assert count_flops(jax.make_jaxpr(function)(SQUARE)) == expected


@pytest.mark.parametrize('groups', [1, 2])
@pytest.mark.parametrize('stride', [1, 2])
def test_convolution(stride, groups):
  """Two for each output, channel of its group and place of the window."""
  images, kernel = jnp.ones((3, 8, 8, 4)), jnp.ones((3, 3, 4 // groups, 6))
  options = {'feature_group_count': groups, 'dimension_numbers': NHWC}

  def convolve(images, kernel):
    return jax.lax.conv_general_dilated(images, kernel, (stride,) * 2, 'SAME', **options)

  outputs = 3 * (8 // stride) ** 2 * 6
  counted = count_flops(jax.make_jaxpr(convolve)(images, kernel))
  assert counted == Flops(2 * outputs * 9 * 4 // groups)
