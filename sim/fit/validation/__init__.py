"""Predicted beside measured: runs as builds and steps, errors with their noise, and the simple predictors to beat."""
