"""The live page: runs of a store, followed while training goes on.

Purpose: pages over HTTP on this machine, read-only but for notes and tags
May import: reporting, plots, store and everything below except torch
Start at: application.py
"""
