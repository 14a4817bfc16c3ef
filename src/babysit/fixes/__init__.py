"""Measured effects of fixes.

Purpose: retrain with each proposed fix on several seeds and measure its gain
May import: tuning and everything below
Start at: try_fixes.py
"""
