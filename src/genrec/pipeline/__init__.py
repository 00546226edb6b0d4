"""The served path: a request, its slate, and the recommendation."""
