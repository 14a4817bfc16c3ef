"""Experiments before training.

Purpose: one file an experiment; each leaves model, optimizer, random state and mode as they were
May import: records, stats, data, nn and the other rooms of floor 1
Start at: check.py
"""
