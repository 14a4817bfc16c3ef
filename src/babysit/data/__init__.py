"""Data, from a name or an array to split samples.

Purpose: load, split and describe training data
May import: records
Start at: sources.py
"""
