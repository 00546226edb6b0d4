"""The page at /playground: edit a template, see what the model reads, run it, compare two."""
