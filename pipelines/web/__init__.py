"""Pages that this program serves to a browser on the same machine: recording demonstrations, looking at data sets."""
