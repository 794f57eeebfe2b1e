"""Published panoptic checkpoints: exact when they load, refused in one line when they do not."""

from __future__ import annotations

import json
import pathlib

import jax
import numpy as np
import pytest
from refusal import refused_in_a_line as refused

from pastis_jax.interop import convert_paps, load_paps, load_utae
from pastis_jax.interop.panoptic import assemble_paps

CONF = {
    # As train_panoptic.py writes it, for the narrow model of the golden file.
    **{"shape_size": 16, "mask_conv": True, "backbone": "utae", "l_center": 1, "l_size": 1},
    **{"l_shape": 1, "l_class": 1, "beta": 4, "autotune": True, "supmax": True, "warmup": 5},
    **{"val_metrics_only": False, "val_every": 5, "val_after": 65, "min_remain": 0.6},
    **{"mask_threshold": 0.3, "min_confidence": 0.2, "encoder_widths": [16, 16, 16, 32]},
    **{"decoder_widths": [16, 16, 16, 32], "out_conv": [16, 20], "str_conv_k": 4},
    **{"str_conv_s": 2, "str_conv_p": 1, "agg_mode": "att_group", "encoder_norm": "group"},
    **{"n_head": 4, "d_model": 32, "d_k": 4, "epochs": 100, "batch_size": 4, "lr": 0.01},
    **{"mono_date": None, "ref_date": "2018-09-01", "fold": None, "void_label": 19},
    **{"background_label": 0, "num_classes": 20, "pad_value": 0, "padding_mode": "reflect"},
    **{"dataset_folder": "PASTIS", "res_dir": "results", "num_workers": 4, "rdm_seed": 1},
    **{"device": "cuda", "display_step": 50, "cache": False, "N_params": 123},
}
FILE = pathlib.Path("results/Fold_2/model.pth.tar")
WHERE = {"modality": "S2", "max_instances": 64, "file": FILE, "conf": pathlib.Path("conf.json")}


@pytest.fixture(scope="module")
def state(golden_folder):
    path = golden_folder / "paps.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path) as file:
        return {k.removeprefix("state/"): file[k] for k in file.files if k.startswith("state/")}


def check(published, state):
    jax.tree.map(np.testing.assert_array_equal, published.variables, convert_paps(state, "S2"))
    assert published.settings.fold == 2
    assert published.settings.aggregation == "att_group"
    assert published.min_remain == 0.6
    decoder = published.model.decoder
    assert (decoder.classes, decoder.shape_size, decoder.mask_conv) == (20, 16, True)
    assert decoder.mask_threshold == 0.3


def test_golden_weights_through_a_configuration(state):
    tuned = state | {"min_confidence": np.array([0.17], np.float32)}
    published = assemble_paps(tuned, CONF, **WHERE)
    check(published, state)
    assert published.min_confidence == pytest.approx(0.17)
    assert published.model.decoder.max_instances == 64
    # What tensors tell may be left out.
    short = {k: CONF[k] for k in ("agg_mode", "min_remain", "mask_threshold")}
    check(assemble_paps(state, short, **WHERE), state)


def test_without_mask_convolutions(state):
    bare = {k: v for k, v in state.items() if not k.startswith("mask_cnn.")}
    published = assemble_paps(bare, CONF | {"mask_conv": False}, **WHERE)
    assert not published.model.decoder.mask_conv
    assert not any(name.startswith("mask") for name in published.variables["params"]["decoder"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"backbone": "uconvlstm"}, ["backbone is uconvlstm, the tensors say utae"]),
        ({"shape_size": 8}, ["shape_size is 8, the tensors say 16"]),
        ({"mask_conv": False}, ["mask_conv is False"]),
        ({"num_classes": 19}, ["num_classes is 19"]),
        ({"agg_mode": "max"}, ["agg_mode is 'max'"]),
        ({"n_head": 8}, ["n_head is 8"]),
        ({"dilated": True}, ["unknown options dilated"]),
    ],
    ids=lambda x: "-".join(x) if isinstance(x, dict) else "",
)
def test_options_that_are_not_ours_are_named(state, change, words):
    refused(lambda: assemble_paps(state, CONF | change, **WHERE), *words)


@pytest.mark.parametrize(
    "name", ["size_mlp.4.running_var", "mask_cnn.3.bias", "encoder.down_blocks.1.conv2.conv.0.bias"]
)
def test_tensors_that_do_not_fit_are_named(state, name):
    def refuse(tensors, *words):
        refused(lambda: assemble_paps(tensors, CONF, **WHERE), str(FILE), *words)

    refuse({k: v for k, v in state.items() if k != name}, f"missing tensors: {name}")
    refuse(state | {name: np.ones(5)}, f"wrong shapes: {name}", "train_panoptic.py")


def test_a_checkpoint_as_published(state, tmp_path):
    torch = pytest.importorskip("torch")
    file = tmp_path / FILE
    file.parent.mkdir(parents=True)
    (file.parent.parent / "conf.json").write_text(json.dumps(CONF))
    tensors = {k: torch.from_numpy(v) for k, v in state.items()}
    torch.save({"epoch": 3, "state_dict": tensors}, file)
    check(load_paps(file.parent), state)
    refused(lambda: load_utae(file), "panoptic", "load_paps")
    torch.save({"state_dict": {k[8:]: v for k, v in tensors.items() if k[:8] == "encoder."}}, file)
    refused(lambda: load_paps(file), "no PaPs")
