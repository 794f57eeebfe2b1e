"""The command `pastis-jax`: reads flags, calls the library, ends mistakes in a line."""
