"""Click probabilities from embeddings."""
