"""Adaptation and exact meta-gradients.

A task-learner adapts the meta-knowledge w on its support set by gradient descent,

    theta_0 = w,    theta_{k+1} = theta_k - alpha * grad L(theta_k; D_s),

and sends the gradient of L(theta_K; D_q) with respect to w. (Equations 5 and 6 of "Privacy
Challenges in Meta-Learning" are printed with plus signs and without a step size.) With one
step the gradient is (I - alpha H_s(w)) grad L(theta; D_q); here it is exact for any number
of steps, by differentiation through the loop.

`InnerLoop` is the short form of a `Learner`, which may adapt by other steps and send another
message. The task-learner, and whoever simulates it, call the functions below.
"""

import dataclasses
from typing import Any, TypeVar

import jax

from mamljax import checks
from mamljax.errors import InputError
from mamljax.protocol import adaptation, messages
from mamljax.protocol.adaptation import Perturb
from mamljax.protocol.learner import Learner, is_optimizer, named
from mamljax.slots import check_labels
from mamljax.types import Batch, LossFn, Params, Task


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class InnerLoop:
  """The inner loop: the gradient descent by which a task-learner adapts.

  The short form of `Learner(steps, learning_rate)`, which sends 'maml', or 'fomaml' if the
  order is 1.

  Attributes:
    steps: number of gradient steps on the support set; 0 leaves the parameters as they are.
    learning_rate: step size alpha; a pytree leaf, so that a change does not recompile.
    order: 2 differentiates through the steps (MAML, equation 4); 1 takes the derivative of
      the adapted parameters in w for the identity (first-order MAML, equation 7).
    remat: recompute steps in the backward pass instead of storing them (`jax.checkpoint`).
      That needs the memory of about 2 sqrt(`steps`) parameters and of one step, instead of
      that of all steps, and the time of another forward pass; values agree to rounding.
  """

  steps: int = dataclasses.field(metadata={'static': True})
  learning_rate: float | jax.Array
  order: int = dataclasses.field(default=2, metadata={'static': True})
  remat: bool = dataclasses.field(default=False, metadata={'static': True})

  def __post_init__(self):
    checks.whole('inner steps', self.steps, least=0)
    # Nothing else is refused here: JAX puts tracers, shapes and axes in the place of a number.
    if isinstance(self.learning_rate, str) or is_optimizer(self.learning_rate):
      raise InputError(
        f'learning_rate must be a number, not {named(self.learning_rate)}: for steps of an '
        f'optimiser of optax use mamljax.Learner(steps, optimizer)'
      )
    checks.whole('order', self.order, least=0)
    if self.order not in (1, 2):
      raise InputError(f'order must be 1 (first-order MAML) or 2, not {self.order}')
    if not isinstance(self.remat, bool):
      raise InputError(f'remat must be True or False, not {self.remat!r}')


Inner = InnerLoop | Learner
T = TypeVar('T', bound=Inner | None)


def as_learner(inner: Inner) -> Learner:
  """The learner of an inner loop, or itself.

  Raises:
    InputError: if the learning rate is an array of several numbers.
  """
  if isinstance(inner, InnerLoop):
    checks.scalar('learning_rate', inner.learning_rate)
    sends = 'maml' if inner.order == 2 else 'fomaml'
    return Learner(inner.steps, inner.learning_rate, sends=sends, remat=inner.remat)
  if inner.rate is not None:
    checks.scalar('optimizer', inner.rate)
  return inner


def undefended(inner: T) -> T:
  """The inner loop, or the learner without its defence, of which an attack is told apart."""
  return inner.undefended if isinstance(inner, Learner) else inner


def adapt(
  loss_fn: LossFn,
  params: Params,
  support: Batch,
  inner: Inner,
  *,
  perturb: Perturb | None = None,
) -> Params:
  """The adapted parameters theta after `inner.steps` steps on the support set.

  Args:
    loss_fn: the task's loss.
    params: the meta-knowledge w.
    support: the support set.
    inner: the inner loop, or a learner.
    perturb: `(step, gradient) -> gradient`, applied to each support gradient before its
      step is taken; a defence adds noise to the adaptation here.

  Returns:
    A pytree like `params`. Its derivative in the support images is exact; that in `params` is
    the identity in first-order MAML, and exact otherwise.

  Raises:
    InputError: if the support images are not finite floats or lack a label each, or a rate is
      an array of several numbers, or the rates of each parameter are not like the parameters.
  """
  checks.batch('support', support)
  return adaptation.adapt(loss_fn, params, support, as_learner(inner), perturb=perturb)


def task_loss(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  perturb: Perturb | None = None,
) -> jax.Array:
  """The query loss after adaptation, L(theta(w); D_q), a scalar; arguments as in `adapt`."""
  checks.task(task)
  theta = adapt(loss_fn, params, task.support, inner, perturb=perturb)
  return loss_fn(theta, task.query)


def meta_gradient(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  perturb: Perturb | None = None,
) -> Any:
  """The meta-gradient: the gradient of `task_loss` in `params` (equation 4).

  Exact for any number of inner steps in MAML; the gradient of the query loss at the adapted
  parameters (equation 7) in first-order MAML. Of a learner that sends another message it is
  that message: see `Learner`. Arguments as in `adapt`, and the whole task.

  Returns:
    A pytree like `params`; `WithRates` of a learner that sends the gradient in its rates, too;
    of a message of one's own, that.
  """
  return gradient_and_adapted(loss_fn, params, task, inner, perturb=perturb)[0]


def gradient_and_adapted(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  perturb: Perturb | None = None,
) -> tuple[Any, Params]:
  """The `meta_gradient`, and the adapted parameters theta, which stay with the learner."""
  checks.task(task)
  check_labels(loss_fn, params, task)
  learner = as_learner(inner)
  return messages.compute(messages.Problem(loss_fn, params, task, learner, perturb))


def terms_and_adapted(
  loss_fn: LossFn,
  params: Params,
  task: Task,
  inner: Inner,
  *,
  perturb: Perturb | None = None,
) -> tuple[Any, Params]:
  """The meta-gradients of single query examples, and the adapted parameters theta.

  `meta_gradient` is their mean, where the loss is a mean over examples that do not see each
  other. Arguments as there; a leading axis of query examples.

  Raises:
    InputError: if the message is no gradient of the query loss, or as `meta_gradient` does.
  """
  checks.task(task)
  check_labels(loss_fn, params, task)
  learner = as_learner(inner)
  if not (learner.kind.uses_query and learner.kind.is_gradient):
    raise InputError(
      f'a learner that sends {learner.kind.name!r} sends no mean over query examples, whose '
      f'terms could be clipped one by one'
    )

  def one(image: jax.Array, label: jax.Array) -> tuple[Any, Params]:
    alone = task._replace(query=Batch(image[None], label[None]))
    return messages.compute(messages.Problem(loss_fn, params, alone, learner, perturb))

  return jax.vmap(one, out_axes=(0, None))(*task.query)


def per_task_gradients(loss_fn: LossFn, params: Params, tasks: Task, inner: Inner) -> Any:
  """The meta-gradients of many tasks: `tasks` and the result have a leading task axis."""
  return jax.vmap(lambda task: meta_gradient(loss_fn, params, task, inner))(tasks)
