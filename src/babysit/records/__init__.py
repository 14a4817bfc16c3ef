"""The words that everybody shares.

Purpose: plain data, written and read by every other room, and what belongs to reading and writing it
May import: nothing of ours, never torch
Start at: run.py
"""
