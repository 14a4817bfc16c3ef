"""For those who write rules, stores and executors.

Purpose: contract suites, synthetic runs, checks of the documentation
May import: everything
Start at: synthetic_runs.py
"""
