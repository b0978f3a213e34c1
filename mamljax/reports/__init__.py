"""Audits of one's own models, data and updates, and their reports."""

from mamljax.reports.adversary import Adversary
from mamljax.reports.report import Report
from mamljax.reports.tasks import audit_tasks
from mamljax.reports.update import audit_update
from mamljax.reports.update_report import UpdateReport

__all__ = ['Adversary', 'Report', 'UpdateReport', 'audit_tasks', 'audit_update']
