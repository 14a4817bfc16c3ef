"""End-to-end workflow.

Purpose: run the full workflow (check, search, train, report) on any data, resumably
May import: reporting, tuning and everything below
Start at: run_pipeline.py
"""
