"""Command-line interface; one file per command.

Purpose: parse the command line, call the package, and report errors as one line
May import: everything
Start at: app.py
"""
