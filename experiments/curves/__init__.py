"""Figures 5 to 12 of the paper: accuracy against one thing that varies, and what it shows."""

from experiments.curves.drawing import curves
from experiments.curves.noise_area import Area, areas, confident_noise_area
from experiments.curves.trends import Trend, trend

__all__ = ['Area', 'Trend', 'areas', 'confident_noise_area', 'curves', 'trend']
