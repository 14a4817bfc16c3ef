"""For those who write rules, stores and executors.

Purpose: contract suites, sick runs, checks of the documentation
May import: everything
Start at: sick.py
"""
