"""Experiment trackers.

Purpose: export a finished run to an experiment tracker
May import: tuning and everything below
Start at: tensorboard.py
"""
