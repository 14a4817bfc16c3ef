"""The one definition of everything that is read off a record.

Purpose: verdict, learning, curves, layers, trials: numbers from a run, computed in one place and shown by many
May import: records, never torch
Start at: learning.py
"""
