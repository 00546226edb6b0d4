"""One module for each format that can be imported, found by its file name."""
