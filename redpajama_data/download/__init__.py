"""Fetches raw files: a plan says what (plan.py), one engine gets it (fetch.py). Neither knows a slice."""
