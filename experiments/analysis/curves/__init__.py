"""Figures 5 to 12 of the paper: curves of accuracy against one field, with their findings."""

from experiments.analysis.curves.drawing import curves
from experiments.analysis.curves.noise_area import Area, areas, confident_noise_area
from experiments.analysis.curves.trends import Trend, trend

__all__ = ['Area', 'Trend', 'areas', 'confident_noise_area', 'curves', 'trend']
