"""The search for hyperparameters.

Purpose: space, sampler, executor, stages
May import: training and everything below
Start at: search.py
"""
