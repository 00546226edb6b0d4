"""One module for each estimator."""
