"""Published checkpoints: exact when they load, refused in one line when they do not."""

from __future__ import annotations

import builtins
import json
import pathlib
import pickle
import subprocess
import sys
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from refusal import refused_in_a_line as refused

from pastis_jax.errors import UserError
from pastis_jax.interop import load_utae
from pastis_jax.interop.checkpoint import assemble_utae
from pastis_jax.interop.settings import read_settings
from pastis_jax.nn.norm import image_group_norm
from pastis_jax.types import Series

TOLERANCE = 1e-4
CONF = {
    # As train_semantic.py writes it, for the narrow models of the golden files.
    **{"model": "utae", "encoder_widths": [16, 16, 16, 32], "decoder_widths": [16, 16, 16, 32]},
    **{"out_conv": [16, 20], "str_conv_k": 4, "str_conv_s": 2, "str_conv_p": 1},
    **{"agg_mode": "att_group", "encoder_norm": "group", "n_head": 4, "d_model": 32, "d_k": 4},
    **{"dataset_folder": "PASTIS", "res_dir": "results", "num_workers": 8, "rdm_seed": 1},
    **{"device": "cuda", "display_step": 50, "cache": False, "epochs": 100, "batch_size": 4},
    **{"lr": 0.001, "mono_date": None, "ref_date": "2018-09-01", "fold": None, "num_classes": 20},
    **{"ignore_index": -1, "pad_value": 0, "padding_mode": "reflect", "val_every": 1},
    **{"val_after": 0, "N_params": 86300},
}
KNOWN = {
    *("encoder_widths", "decoder_widths", "out_conv", "agg_mode", "encoder_norm", "n_head"),
    *("d_model", "d_k", "fold", "num_classes", "model", "str_conv_k", "padding_mode"),
}
FILE = pathlib.Path("results/Fold_2/model.pth.tar")
WHERE = {"file": FILE, "conf": FILE.parent.parent / "conf.json"}


@pytest.fixture(scope="module", params=["att_group"])
def case(request, golden_folder):
    path = golden_folder / f"utae_{request.param}.npz"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    with np.load(path) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def state(case):
    """The published names and values of a case."""
    return {k.removeprefix("state/"): v for k, v in case.items() if k.startswith("state/")}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def saved(torch, tmp_path):
    """Writes ``Fold_2/model.pth.tar`` and its conf.json as the published training does."""

    def save(content, conf=CONF, *, beside=False):
        file = tmp_path / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        torch.save(content, file)
        if conf is not None:
            (file.parent if beside else file.parent.parent).joinpath("conf.json").write_text(
                json.dumps(conf)
            )
        return file

    return save


def tensors(state, torch):
    """A state_dict; batch norms count their batches there."""
    counters = {
        name.replace("running_var", "num_batches_tracked"): torch.tensor(7)
        for name in state
        if name.endswith("running_var")
    }
    return {name: torch.from_numpy(value) for name, value in state.items()} | counters


def checkpoint(state, torch):
    """What the published training saves, with an optimizer that has taken a step."""
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([weight], lr=1e-3)
    weight.sum().backward()
    optimizer.step()
    return {
        "epoch": 3,
        "state_dict": tensors(state, torch),
        "optimizer": optimizer.state_dict(),
    }


def without(state, name):
    return {k: v for k, v in state.items() if k != name}


def series(case):
    values = jnp.asarray(case["in/images"].astype(np.float32).transpose(0, 1, 3, 4, 2))
    days = jnp.asarray(case["in/dates"].astype(np.int32))
    return Series(values=values, days=days, valid=jnp.ones(days.shape, bool))


def check_logits(published, case, modality="S2"):
    prediction = jax.jit(published.model.apply)(published.variables, {modality: series(case)})
    logits = prediction.output.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(logits, case["out/eval_logits"], rtol=0, atol=TOLERANCE)


# Without PyTorch.


@pytest.mark.parametrize("case", ["att_group", "att_mean", "mean"], indirect=True)
def test_golden_weights_through_a_configuration(case, state, request):
    conf = CONF | {"agg_mode": request.node.callspec.params["case"]}
    published = assemble_utae(state, conf, modality="optical", **WHERE)
    assert published.settings.fold == 2
    check_logits(published, case, "optical")


def test_settings(state):
    settings = read_settings(state, CONF, **WHERE)
    assert (settings.channels, settings.classes, settings.fold) == (10, 20, 2)
    assert settings.encoder_widths == settings.decoder_widths == (16, 16, 16, 32)
    assert (settings.head_widths, settings.aggregation) == ((16,), "att_group")
    assert (settings.norm, settings.heads) == ("group", 4)
    assert (settings.model_features, settings.key_features) == (32, 4)
    hash(settings)
    # Widths may be strings, and what shapes tell may be left out.
    strings = {k: str(v) for k, v in CONF.items() if isinstance(v, list)}
    assert read_settings(state, CONF | strings, **WHERE) == settings
    assert read_settings(state, {"agg_mode": "att_group"}, **WHERE) == settings
    assert read_settings(state, CONF | {"decoder_widths": None}, **WHERE) == settings


def test_the_folder_tells_the_fold_before_the_configuration(state):
    conf = CONF | {"fold": 5}
    assert read_settings(state, conf, **WHERE).fold == 2
    assert read_settings(state, conf, **WHERE | {"file": pathlib.Path("w.pth")}).fold == 5
    assert read_settings(state, CONF, **WHERE | {"file": pathlib.Path("w.pth")}).fold is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model": "unet3d"}, ["model is 'unet3d'"]),
        ({"str_conv_k": 3}, ["str_conv_k is 3"]),
        ({"str_conv_s": 4}, ["str_conv_s is 4"]),
        ({"str_conv_p": 2}, ["str_conv_p is 2"]),
        ({"padding_mode": "zeros"}, ["padding_mode is 'zeros'"]),
        ({"ref_date": "2019-01-01"}, ["ref_date is '2019-01-01'"]),
        ({"agg_mode": "max"}, ["agg_mode is 'max'", "att_group"]),
        ({"agg_mode": None}, ["agg_mode"]),
        ({"encoder_norm": "none"}, ["encoder_norm is 'none'"]),
        ({"encoder_norm": "instance"}, ["encoder_norm is instance, the tensors say group"]),
        ({"encoder_widths": [8, 16, 16, 32]}, ["encoder_widths is [8, 16, 16, 32]", "[16, "]),
        ({"encoder_widths": "64;64"}, ["encoder_widths is '64;64', not a list"]),
        ({"n_head": 8}, ["n_head is 8, the tensors say 4"]),
        ({"d_model": 32.5}, ["d_model is 32.5"]),
        ({"num_classes": 19}, ["num_classes is 19"]),
        ({"positional_encoding": False}, ["unknown options positional_encoding"]),
        ({"backbone": "utae"}, ["panoptic"]),
    ],
    ids=lambda x: "-".join(map(str, x)) if isinstance(x, dict) else "",
)
def test_options_that_are_not_ours_are_named(state, change, words):
    refused(lambda: assemble_utae(state, CONF | change, modality="S2", **WHERE), *words)


def test_tensors_that_do_not_fit_are_named(state):
    def refuse(state, *words, conf=CONF):
        refused(lambda: assemble_utae(state, conf, modality="S2", **WHERE), str(FILE), *words)

    name = "down_blocks.1.conv2.conv.0.bias"
    refuse(without(state, name), "missing tensors: " + name)
    refuse(without(state, "in_conv.conv.conv.0.weight"), "tensors: in_conv.conv.conv.0.weight")
    refuse(without(state, "in_conv.conv.conv.1.weight"), "in_conv.conv.conv.1.weight")
    refuse(without(state, "temporal_encoder.attention_heads.Q"), "attention_heads.Q")
    refuse(without(state, "out_conv.conv.conv.4.bias"), "missing tensors: out_conv.conv.conv.4.bia")
    refuse(state | {"extra.weight": np.ones(3)}, "unexpected: extra.weight")
    refuse(state | {name: np.ones(4)}, f"wrong shapes: {name} (channels last (4,), not (16,))")
    kernel = "up_blocks.0.up.0.weight"
    refuse(state | {kernel: np.ones((32, 16, 3, 3))}, kernel)
    refuse(state | {kernel: np.ones((32, 16))}, kernel, "(32, 16)")


@pytest.mark.parametrize(
    "name",
    [
        "in_conv.conv.conv.0.weight",
        "temporal_encoder.attention_heads.Q",
        "out_conv.conv.conv.0.weight",
    ],
)
def test_a_missing_tensor_is_named_where_it_would_tell_an_option(state, name):
    conf = {"agg_mode": "att_group"}
    refused(
        lambda: assemble_utae(without(state, name), conf, modality="S2", **WHERE),
        str(FILE),
        "missing tensors: " + name,
    )


ODD = (None, "x", True, -1, 0, 10**30, 1e300, [], [None], {"a": 1}, [[16]], ["16"], [10**30] * 4)


@pytest.mark.parametrize("option", [name for name in CONF if name in KNOWN])
def test_options_of_other_types_are_named_or_left_to_the_shapes(state, option):
    for value in ODD:
        try:
            settings = read_settings(state, CONF | {option: value}, **WHERE)
        except UserError:  # One line, as all of them are.
            continue
        assert settings == read_settings(state, CONF, **WHERE)


def test_settings_of_nothing(state):
    """Heads of no width divide nothing."""
    query = "temporal_encoder.attention_heads.Q"
    conf = {"agg_mode": "att_group"}
    odd = state | {query: np.ones((0, 4))}
    refused(lambda: read_settings(odd, conf, **WHERE), "a width is 0")
    deep = {f"down_blocks.{i}.conv1.conv.0.weight": np.ones((32, 16, 3, 3)) for i in range(60)}
    deep |= {f"up_blocks.{i}.conv1.conv.0.weight": np.ones((32, 16, 3, 3)) for i in range(60)}
    refused(lambda: read_settings(state | deep, conf, **WHERE), "more than 10 levels")


def test_settings_no_model_can_have(state):
    query = "temporal_encoder.attention_heads.Q"
    odd = state | {query: np.ones((3, 4))}
    conf = CONF | {"n_head": 3}
    refused(lambda: read_settings(odd, conf, **WHERE), "n_head 3 does not divide")


def as_instance_norm(state):
    """The names of a model whose frame encoder has instance norms, and those left out."""
    norms = ("conv.1.weight", "conv.1.bias", "conv.4.weight", "conv.4.bias")
    gone = {k for k in state if k.startswith(("in_conv", "down")) and k.endswith(norms)}
    return {k: v for k, v in state.items() if k not in gone}, gone


def test_instance_norm_has_scale_one_and_offset_zero(case, state):
    bare, gone = as_instance_norm(state)
    assert len(gone) == 2 * (2 + 3 * 3)
    conf = CONF | {"encoder_norm": "instance"}
    published = assemble_utae(bare, conf, modality="S2", **WHERE)
    encoder = published.variables["params"]["spatial_S2"]
    layers = [
        *encoder["in_conv"].values(),
        *(x for i in range(3) for x in encoder[f"down_{i}"].values()),
    ]
    assert len(layers) == 11
    for layer in layers:
        np.testing.assert_array_equal(layer["scale"], 1)
        np.testing.assert_array_equal(layer["offset"], 0)
    assert "spatial_S2" not in published.variables["batch_stats"]
    prediction = jax.jit(published.model.apply)(published.variables, {"S2": series(case)})
    assert np.isfinite(prediction.output).all()


def test_a_group_per_channel_is_the_published_instance_norm():
    """Biased variance over the pixels of each image and channel, epsilon 1e-5."""
    x = np.random.default_rng(0).normal(2, 3, (2, 5, 7, 6)).astype(np.float32)
    ours = image_group_norm(x, jnp.ones(6), jnp.zeros(6), groups=6)
    expected = (x - x.mean((1, 2), keepdims=True)) / np.sqrt(x.var((1, 2), keepdims=True) + 1e-5)
    np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_batch_norm_in_the_encoder(case, state):
    """Parameters and running statistics end where they belong."""
    bare, gone = as_instance_norm(state)
    rng = np.random.default_rng(0)
    norms = {k.rsplit(".", 1)[0] for k in gone}
    drawn = {
        f"{norm}.{part}": rng.uniform(0.5, 2, state[f"{norm}.weight"].shape).astype(np.float32)
        for norm in norms
        for part in ("weight", "bias", "running_mean", "running_var")
    }
    conf = CONF | {"encoder_norm": "batch"}
    published = assemble_utae(bare | drawn, conf, modality="S2", **WHERE)
    first = {
        k: published.variables[k]["spatial_S2"]["in_conv"]["layer_1"]["norm"]
        for k in ("params", "batch_stats")
    }
    theirs = "in_conv.conv.conv.4"
    np.testing.assert_array_equal(first["params"]["scale"], drawn[f"{theirs}.weight"])
    np.testing.assert_array_equal(first["params"]["offset"], drawn[f"{theirs}.bias"])
    np.testing.assert_array_equal(first["batch_stats"]["mean"], drawn[f"{theirs}.running_mean"])
    np.testing.assert_array_equal(first["batch_stats"]["var"], drawn[f"{theirs}.running_var"])


def test_pytorch_is_optional(tmp_path, monkeypatch):
    code = "import sys, pastis_jax.interop; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    file = tmp_path / "model.pth.tar"
    file.write_bytes(b"")
    load = builtins.__import__

    def no_torch(name, *args, **kwargs):
        if name == "torch":
            raise ImportError(name)
        return load(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", no_torch)
    refused(lambda: load_utae(file), "PyTorch", "pip install 'pastis-jax[torch]'")


def test_no_such_file(tmp_path):
    refused(lambda: load_utae(tmp_path / "model.pth.tar"), "no such file")
    refused(lambda: load_utae(tmp_path), "no model.pth.tar there")
    for fold in (1, 2):
        (tmp_path / f"Fold_{fold}").mkdir()
        (tmp_path / f"Fold_{fold}" / "model.pth.tar").touch()
    refused(lambda: load_utae(tmp_path), "give one of its folders Fold_1, Fold_2")


# With PyTorch.


@pytest.mark.parametrize("beside", [False, True])
def test_a_checkpoint_as_published(case, state, saved, torch, beside):
    file = saved(checkpoint(state, torch), beside=beside)
    published = load_utae(file if beside else file.parent)
    assert published.settings.fold == 2
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(published.variables))
    check_logits(published, case)


def test_a_bare_state_dict_of_a_parallel_model(state, saved, torch):
    parallel = {f"module.{k}": v for k, v in tensors(state, torch).items()}
    one, other = load_utae(saved(parallel)), load_utae(saved(checkpoint(state, torch)))
    jax.tree.map(np.testing.assert_array_equal, one.variables, other.variables)


def test_without_configuration(state, saved, torch):
    file = saved(checkpoint(state, torch), conf=None)
    refused(lambda: load_utae(file), str(file), "conf.json", "agg_mode")
    file.with_name("conf.json").write_text("{")
    refused(lambda: load_utae(file), "conf.json: cannot be read")
    file.with_name("conf.json").write_text("[]")
    refused(lambda: load_utae(file), "conf.json: cannot be read (not a JSON object)")


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04K\x01.", b"PK\x03\x04"])
def test_a_file_that_is_no_checkpoint(saved, content):
    file = saved({})
    file.write_bytes(content)
    refused(lambda: load_utae(file), str(file), "no checkpoint")


def test_a_truncated_checkpoint(state, saved, torch):
    file = saved(checkpoint(state, torch))
    file.write_bytes(file.read_bytes()[:-1000])
    refused(lambda: load_utae(file), "no checkpoint")


@pytest.mark.parametrize("kind", ["sparse", "complex", "nan"])
def test_tensors_that_are_no_numbers(state, saved, torch, kind):
    weights = tensors(state, torch)
    name = "in_conv.conv.conv.0.weight"
    match kind:
        case "sparse":
            weights[name] = weights[name].to_sparse()
        case "complex":
            weights[name] = weights[name] + 1j
        case "nan":
            weights[name] = weights[name] * float("nan")
    file = saved(weights)
    with pytest.raises(UserError, match="is not an array of real"):
        load_utae(file)


def test_tensors_of_more_than_the_file_holds(state, saved, torch):
    """One number as 10**12 of them, and one storage by many names: neither is ever made."""
    name = "in_conv.conv.conv.0.weight"
    weights = tensors(state, torch)
    wide = weights | {name: torch.zeros(1).expand(10**12)}
    refused(lambda: load_utae(saved(wide)), "its tensors take 4,000,", "more than the file's")
    large = torch.zeros(10**6)
    many = weights | {f"{name}.{i}": large for i in range(100)}
    refused(lambda: load_utae(saved(many)), "its tensors take 400,", "more than the file's")


def test_a_compressed_checkpoint(state, saved, torch):
    """A thousand times larger than its file."""
    file = saved(checkpoint(state, torch))
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(lambda: load_utae(file), "compressed")


def test_a_checkpoint_of_something_else(state, saved, torch):
    refused(lambda: load_utae(saved({"epoch": 3})), "no state_dict")
    refused(lambda: load_utae(saved([1, 2])), "no state_dict")
    refused(lambda: load_utae(saved({"weight": torch.ones(2)})), "no U-TAE", "weight")
    panoptic = {f"encoder.{k}": v for k, v in tensors(state, torch).items()}
    refused(lambda: load_utae(saved({"state_dict": panoptic})), "panoptic")


class Hostile:
    """Creates `path` when unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


@pytest.mark.parametrize("legacy", [False, True])
def test_no_code_of_a_file_runs(state, saved, torch, tmp_path, legacy):
    trace = tmp_path / "it ran"
    pickle.loads(pickle.dumps(Hostile(trace)))
    assert trace.exists()
    trace.unlink()
    content = checkpoint(state, torch) | {"config": Hostile(trace)}
    file = saved(content)
    if legacy:
        torch.save(content, file, _use_new_zipfile_serialization=False)
    refused(lambda: load_utae(file), "without running code")
    file.write_bytes(pickle.dumps(Hostile(trace)))
    refused(lambda: load_utae(file), "without running code")
    assert not trace.exists()


def test_an_unsafe_pytorch_is_refused(state, saved, torch, monkeypatch):
    file = saved(checkpoint(state, torch))
    monkeypatch.setattr(torch, "__version__", type(torch.__version__)("2.9.1"))
    refused(lambda: load_utae(file), "2.9.1", "2.10")


def test_instance_norm_against_pytorch(torch):
    x = np.random.default_rng(0).normal(2, 3, (2, 5, 7, 6)).astype(np.float32)
    norm = torch.nn.InstanceNorm2d(6).eval()
    assert not list(norm.state_dict())
    theirs = norm(torch.from_numpy(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    ours = image_group_norm(x, jnp.ones(6), jnp.zeros(6), groups=6)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
