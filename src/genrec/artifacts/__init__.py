"""What genrec keeps on disk: workspaces, models, adapters, downloads, tensors, and what was computed before."""
