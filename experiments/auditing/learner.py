"""Learner on the command line: how a task-learner adapts, what it sends, what protects it."""

from absl import flags

from experiments.process import bounds
from mamljax import Learner
from mamljax.defences import make_defence
from mamljax.errors import InputError

STEPS = bounds.Bounds(0, 10_000, 'steps')


def define() -> None:
  """Defines the flags of a learner."""
  steps = 'number of gradient steps that a learner takes on its support set'
  bounds.integer('steps', 1, STEPS, steps)
  bounds.real('rate', 0.1, bounds.POSITIVE, 'step size of the learner')
  sends = 'message of a learner: maml, fomaml, reptile, imaml or delta'
  flags.DEFINE_string('sends', 'maml', sends)
  defence = (
    'noise that the learner adds: none, or one or several of support_noise, '
    'inner_gradient_noise, query_noise and outgoing_gradient_noise, joined by +'
  )
  flags.DEFINE_string('defence', 'none', defence)
  scale = 'standard deviation of the noise of --defence'
  bounds.real('noise_scale', 0.0, bounds.POSITIVE, scale)


def read() -> Learner:
  """The learner that the flags describe.

  Raises:
    InputError: if a value is none of those above, or a defence has no noise.
  """
  values = flags.FLAGS
  is_defended = values.defence != 'none'
  if is_defended != (values.noise_scale > 0):
    raise InputError(
      f'--defence={values.defence} and --noise_scale={values.noise_scale:g} do not go together'
    )
  defence = make_defence(values.defence, scale=values.noise_scale) if is_defended else None
  return Learner(values.steps, values.rate, sends=values.sends, defence=defence)
