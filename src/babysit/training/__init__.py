"""Training loop.

Purpose: fit, early stopping, checkpoints
May import: monitor and everything below
Start at: fit.py
"""
