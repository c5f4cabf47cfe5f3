"""Benchmarks: one script per claim, each a module of its own with a function `measure`; see README.md."""
