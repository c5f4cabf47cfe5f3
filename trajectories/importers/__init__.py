"""Other formats, read into episodes."""
