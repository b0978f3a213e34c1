"""Audits of one's own models, data and updates, comparisons of defences, and their reports."""

from mamljax.reports.adversary import Adversary
from mamljax.reports.advice import Recommendation
from mamljax.reports.compare import compare_defences
from mamljax.reports.learning import TrainedAccuracy
from mamljax.reports.report import Report
from mamljax.reports.study import Study
from mamljax.reports.tasks import audit_tasks
from mamljax.reports.update import audit_update
from mamljax.reports.update_report import UpdateReport

__all__ = [
  'Adversary',
  'Recommendation',
  'Report',
  'Study',
  'TrainedAccuracy',
  'UpdateReport',
  'audit_tasks',
  'audit_update',
  'compare_defences',
]
