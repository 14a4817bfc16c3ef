"""Measuring a fix.

Purpose: train again with each proposed fix, on several seeds, and measure what it brings
May import: tuning and everything below
Start at: treat.py
"""
