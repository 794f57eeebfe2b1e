"""Scenes of a season, and the Region that is made of them in one go."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A folder of scenes, and what is in them."""
    pytest.importorskip("rasterio")
    import season_files

    folder = tmp_path_factory.mktemp("scenes")
    return folder, season_files.season(folder)


@pytest.fixture(scope="module")
def whole(scenes, tmp_path_factory):
    """The Region that is made of them."""
    import season_files

    from pastis_jax.data.regions import ingest

    root = tmp_path_factory.mktemp("regions") / "whole"
    return ingest(scenes[0], root, given=season_files.GIVEN, **season_files.OPTIONS)
