"""Run store.

Purpose: write, read and list runs in SQLite or PostgreSQL
May import: records, never torch
Start at: store.py
"""
