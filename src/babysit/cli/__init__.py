"""One file a command.

Purpose: turn words of the command line into calls, and problems into one clear line
May import: everything
Start at: app.py
"""
