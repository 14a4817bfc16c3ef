"""Observation and measurement of a running training.

Purpose: connect metrics, rules and the store to the user's training loop
May import: experiments and everything below
Start at: watch.py
"""
