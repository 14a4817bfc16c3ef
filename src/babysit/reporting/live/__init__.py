"""Live web page of a store, updated during training.

Purpose: serve runs over HTTP on this machine; only notes and tags can be changed
May import: reporting, plots, store and everything below except torch
Start at: application.py
"""
