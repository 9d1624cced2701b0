"""Scans to look at, slice by slice."""
