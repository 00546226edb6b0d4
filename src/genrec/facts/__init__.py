"""Facts about candidates and histories, for prompts and reasons."""
