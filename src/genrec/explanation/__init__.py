"""Why each item stands where it stands."""
