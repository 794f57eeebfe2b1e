"""What is in a Region, what is damaged in it, and what is odd about it."""
