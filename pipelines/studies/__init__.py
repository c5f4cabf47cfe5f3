"""Mix studies: what synthetic demos are worth beside real ones."""
