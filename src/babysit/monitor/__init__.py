"""Watching a training while it runs.

Purpose: join statistics, rules and the store around the user's own loop
May import: experiments and everything below
Start at: watch.py
"""
