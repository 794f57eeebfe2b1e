"""`python -m pastis_jax.cli` is `pastis-jax`."""

from pastis_jax.cli.main import script

if __name__ == "__main__":
    script()
