"""Measured traces as the model's machine sees them: what ran where and when, and how long the model says it takes."""
