"""Trains members of one shape as one: their weights, moments and buffers stacked, one step for all of them.

Purpose: the `Executor` for many small networks on one core; calibrated, checked against plain PyTorch, never wrong.
May import: what tuning may import.
Start at: population.py, then forms.py (the steps) and calibrate.py (which one is taken).
"""
