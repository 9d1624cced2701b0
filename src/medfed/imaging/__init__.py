"""Volumes in the patient: geometry, resampling, lung mask, pictures."""
