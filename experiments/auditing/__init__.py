"""Inputs of an audit on the command line: a model, data and a learner of the user's own."""
