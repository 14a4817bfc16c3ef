"""Trackers that we call.

Purpose: send a finished run to where a team already looks
May import: tuning and everything below
Start at: tensorboard.py
"""
