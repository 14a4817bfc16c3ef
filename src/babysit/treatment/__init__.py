"""Proving a cure.

Purpose: train again with each proposed cure, several seeds, and measure what it brings
May import: tuning and everything below
Start at: treat.py
"""
