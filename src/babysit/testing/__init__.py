"""Test utilities for authors of rules, stores and executors.

Purpose: contract tests, synthetic runs, checks of the documentation
May import: everything
Start at: synthetic_runs.py
"""
