"""Parameters of our models at full size, those of docs/parameters.md."""

from __future__ import annotations

PARAMETERS = {
    "parcel": {
        "S2": 113_746,
        "S1A": 113_522,
        "S1D": 113_522,
        "early": 113_938,
        "mid": 152_146,
        "late": 334_930,
        "decision": 340_790,
    },
    "semantic": {
        "S2": 1_087_260,
        "S1A": 1_083_228,
        "S1D": 1_083_228,
        "early": 1_090_716,
        "mid": 2_299_932,
        "late": 3_241_884,
        "decision": 3_253_716,
    },
    "panoptic": {
        "S2": 1_244_541,
        "S1A": 1_240_509,
        "S1D": 1_240_509,
        "early": 1_247_997,
        "mid": 2_457_213,
        "late": 4_406_269,
    },
}
"""By task and model, on PASTIS-R, without auxiliary decoders, which enlarge a model."""
