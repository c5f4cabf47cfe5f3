"""Data sets written out in other formats."""
