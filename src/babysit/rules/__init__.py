"""All rules.

Purpose: find the problems of a run and rank them; one file per problem
May import: records, analysis, never torch
Start at: engine.py
"""
