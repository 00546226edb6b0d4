"""The page of a run: what each section shows, and the templates it is written with."""
