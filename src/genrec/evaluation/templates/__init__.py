"""Two templates compared: before one goes live on what is known of users, and afterwards on what users clicked."""
