"""Audits of one's own models, data and updates, and their reports."""

from mamljax.reports.adversary import Adversary
from mamljax.reports.report import Report
from mamljax.reports.tasks import audit_tasks

__all__ = ['Adversary', 'Report', 'audit_tasks']
