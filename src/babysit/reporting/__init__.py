"""Reports of runs.

Purpose: render a run as text, JSON, Markdown, SARIF or one self-contained page
May import: plots, store and everything below except torch
Start at: report.py
"""
