"""Evaluation of a candidate: brief training, and what is recorded of it."""
