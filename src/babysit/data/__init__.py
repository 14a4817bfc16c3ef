"""Data loading and description.

Purpose: load, split and describe training data, from a name or an array to split samples
May import: records
Start at: sources.py
"""
