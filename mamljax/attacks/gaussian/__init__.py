"""Gaussian models of what a learner sends: their covariances, and the test they share."""
