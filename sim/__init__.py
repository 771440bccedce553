"""Discrete-event words: engine, streams, trace, estimators, results and plots."""
