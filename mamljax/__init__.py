"""Exact MAML meta-gradients, and attacks on the data behind them, as pure functions."""

from mamljax import io
from mamljax.attacks import ATTACKS, Attack, BaseAttack, Candidate, Info, Knowledge, Observation
from mamljax.audit.playing import play
from mamljax.data import Data, from_arrays
from mamljax.defences import (
  Aggregate,
  Chain,
  Defence,
  DPExamples,
  DPGaussian,
  Gaussian,
  Quantised,
  Sign,
  TopK,
)
from mamljax.errors import InputError
from mamljax.forward import check_forward
from mamljax.learner import send_gradient
from mamljax.maml import InnerLoop, adapt, meta_gradient, per_task_gradients, task_loss
from mamljax.networks import CrossEntropy, init_params, make_network
from mamljax.protocol import Custom, ImplicitMAML, Learner
from mamljax.protocol.messages import WithRates, as_gradient
from mamljax.reports import (
  Adversary,
  Recommendation,
  Report,
  Study,
  TrainedAccuracy,
  UpdateReport,
  audit_tasks,
  audit_update,
  compare_defences,
)
from mamljax.tasks import sample_task
from mamljax.types import Batch, LossFn, Params, Pool, Task

__version__ = '0.2.0'

__all__ = [
  'ATTACKS',
  'Adversary',
  'Aggregate',
  'Attack',
  'BaseAttack',
  'Batch',
  'Candidate',
  'Chain',
  'CrossEntropy',
  'Custom',
  'DPExamples',
  'DPGaussian',
  'Data',
  'Defence',
  'Gaussian',
  'ImplicitMAML',
  'Info',
  'InnerLoop',
  'InputError',
  'Knowledge',
  'Learner',
  'LossFn',
  'Observation',
  'Params',
  'Pool',
  'Quantised',
  'Recommendation',
  'Report',
  'Sign',
  'Study',
  'Task',
  'TopK',
  'TrainedAccuracy',
  'UpdateReport',
  'WithRates',
  'adapt',
  'as_gradient',
  'audit_tasks',
  'audit_update',
  'check_forward',
  'compare_defences',
  'from_arrays',
  'init_params',
  'io',
  'make_network',
  'meta_gradient',
  'per_task_gradients',
  'play',
  'sample_task',
  'send_gradient',
  'task_loss',
]
