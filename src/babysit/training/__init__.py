"""The visible training loop.

Purpose: fit, early stopping, checkpoints
May import: watcher and everything below
Start at: fit.py
"""
