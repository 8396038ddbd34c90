"""Drives made of software: for the demo, the tests and training."""
