"""Checks run before training.

Purpose: one file per experiment; each restores model, optimizer, random state and mode
May import: records, metrics, data, nn and the other rooms of floor 1
Start at: check.py
"""
