"""From what users have, files of any form, to layers that can be read."""
