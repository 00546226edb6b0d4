"""Tuning of the language model: slates to learn from, losses, LoRA, the training loop, and the adapter's card."""
