"""Loops of others that call us.

Purpose: a few lines in another framework's loop give the same records as our own
May import: tuning and everything below
Start at: lightning.py
"""
