"""From a run to what a person reads.

Purpose: text, JSON and one self-contained page
May import: plots, store and everything below except torch
Start at: report.py
"""
