"""Templates: format, library, budget, guard, rendering."""
