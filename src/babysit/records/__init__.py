"""Shared data types.

Purpose: records that every other room reads and writes, their serialization and the errors that come with it
May import: nothing of ours, never torch
Start at: run.py
"""
