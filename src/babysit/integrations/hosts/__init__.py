"""Callbacks for training frameworks.

Purpose: record a training run by another framework like one of our own
May import: tuning and everything below
Start at: lightning.py
"""
