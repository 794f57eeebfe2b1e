"""README, docs and notebooks: links and anchors resolve, commands exist, tables agree."""

from __future__ import annotations

import collections
import dataclasses
import importlib.util
import json
import pathlib
import re
import shlex

import pytest
import tyro

from experiments import cross_validation
from experiments.paper.paper_numbers import CELLS, paper_value
from pastis_jax.cli import ingest_samples, main
from pastis_jax.cli.config import CONFIGS
from pastis_jax.data.simulate import Difficulty

ROOT = pathlib.Path(__file__).parent.parent
DOCS = ROOT / "docs"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted(DOCS.rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.md")),
    *NOTEBOOKS,
]
PACKAGES = "pastis_jax|experiments|benchmarks"
FOREIGN_FLAGS = {"--gpus-per-task", "--nthreads", "--memory-limit"}
"""Of srun, and of Dask's workers."""


def prose(page):
    """The Markdown of a page or notebook."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def without_code(text):
    return re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)


def only_code(text):
    """The code of a page, a piece a line; as it stands, a command may be a part of it."""
    return "\n".join(re.findall(r"^```.*?^```|`[^`\n]+`", text, flags=re.DOTALL | re.MULTILINE))


def anchors(page):
    """Anchors of the headings of a page, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", prose(page), flags=re.DOTALL | re.MULTILINE)
    found, times = [], collections.Counter()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text, flags=re.MULTILINE):
        heading = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        found.append(f"{slug}-{times[slug]}" if times[slug] else slug)
        times[slug] += 1
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_resolve(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(prose(page))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        assert ROOT in file.parents, target
        assert not anchor or anchor in anchors(file), target


def commands():
    """Every command of ours on the pages: `pastis-jax ...`, or what follows `python -m`."""
    begin = rf"(?:python -m (?={PACKAGES})|(?<![\w/.'-])(?=pastis-jax [a-z]))"
    for page in PAGES:
        text = re.sub(r"\\\n\s*", "", prose(page))
        for command in re.findall(rf"{begin}([^`\n]*)", only_code(text)):
            command = re.split(r"&&|\||;|\s#", command)[0].rstrip()
            ends_another = command.count('"') % 2  # a command that is an argument itself
            yield command.removesuffix('"') if ends_another else command


def parts_of(command):
    """The module of a command, the dataclass of its arguments or None, and what it is given."""
    module, *given = shlex.split(command)
    if module == "pastis-jax":
        name, *given = given
        assert name in {"train", *main.COMMANDS}, f"pastis-jax has no {name}"
        if name == "train":
            task, *given = given
            return module, CONFIGS[task], given
        if name == "ingest" and "--samples" in given:
            return module, ingest_samples.Arguments, given
        return module, arguments_of(f"pastis_jax.cli.{name}"), given
    return module, arguments_of(module), given


def arguments_of(module):
    """The dataclass of a module's arguments; None where it takes none."""
    task = module.removeprefix("experiments.")
    if task in CONFIGS:
        assert importlib.import_module(module).main.args == (task,)
        return CONFIGS[task]
    spec = importlib.util.find_spec(module)
    assert spec, f"there is no {module}"
    if spec.submodule_search_locations is not None:
        module += ".__main__"
    loaded = importlib.import_module(module)
    assert callable(loaded.main)
    return getattr(loaded, "Config", getattr(loaded, "Arguments", None))


@pytest.fixture(autouse=True)
def from_clone(monkeypatch):
    """Benchmarks are not installed."""
    monkeypatch.syspath_prepend(ROOT)


def without(given, *flags):
    """What a command is given, but for these flags and their values."""
    pairs = zip([None, *given], given, strict=False)
    return [word for before, word in pairs if word not in flags and before not in flags]


@pytest.mark.parametrize("command", sorted(set(commands())))
def test_commands_exist(command, capsys):
    module, kind, given = parts_of(command)
    if "--plugin" in given:
        given = without(given, "--fusion", "--encoder")  # which it may add
    if not given:
        return
    assert kind, f"{module} takes no arguments"
    try:
        config, rest = tyro.cli(kind, args=given, return_unknown_args=True)
        if module == "experiments.cross_validation":
            cross_validation.check(config, rest)
            rest = []
    except SystemExit:
        pytest.fail(capsys.readouterr().err)
    assert rest == []


def test_flags_exist():
    kinds = {kind for _, kind, _ in map(parts_of, commands())} - {None}
    fields = {name for kind in kinds for name in names_of(kind)}
    known = {"--" + name.replace("_", "-") for name in fields} | {"--help", *FOREIGN_FLAGS}
    for page in PAGES:
        named = set(re.findall(r"`(--[\w-]+)", prose(page)))
        assert named <= known, page.name


def names_of(kind):
    """The names of a command's arguments."""
    if kind in CONFIGS.values():
        return [*kind().leaves()]
    fields = dataclasses.fields(kind)
    return [name for x in fields for name in (x.name, *[f"no_{x.name}"] * (x.default is True))]


def rows(text):
    """The cells of the table rows of a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.mark.parametrize("table", [1, 2, 3, 4])
def test_expected_scores_are_the_papers(table):
    section = prose(DOCS / "reproduction.md").split(f"### Table {table}\n")[1].split("\n#")[0]
    paper = {}
    for cell in CELLS:
        if cell.table == table and cell.score != "parameters":
            paper.setdefault(cell.row, []).append(cell.printed)
    assert rows(section)[2:] == [[row, *cells] for row, cells in paper.items()]


ENHANCEMENTS = ("base", "temporal_dropout", "auxiliary", "both")


def test_results_stand_beside_the_papers():
    """Those of the page beside the paper's; those of the README as on the page."""
    page = {}
    head, _, *table = rows(prose(DOCS / "simulated_results.md"))
    assert head == ["model", "base OA", "base mIoU", "temporal dropout", "auxiliary", "both"]
    for name, *scores in table:
        model = name.removesuffix(" fusion")
        key = {"task": "parcel", "model": model if name == model else model.lower()}
        columns = [("base", "OA"), *((enhancement, "mIoU") for enhancement in ENHANCEMENTS)]
        for (enhancement, score), text in zip(columns, scores, strict=True):
            paper = paper_value(**key, enhancement=enhancement, score=score)
            if text == "-":
                assert paper is None
                continue
            ours, given = re.fullmatch(r"(\S+ ± \S+) \((\S+)\)", text).groups()
            assert float(given) == paper
            page[name, enhancement, score] = ours, paper
    assert len(page) == 27
    section = prose(ROOT / "README.md").split("## Results\n")[1].split("\n## ")[0]
    table = rows(section)[2:]
    for name, _, *given in table:
        enhanced = "both" if (name, "both", "mIoU") in page else "temporal_dropout"
        ours, paper = zip(*(page[name, e, "mIoU"] for e in ("base", enhanced)), strict=True)
        assert given == [*ours, *map(str, paper)]
    assert len(table) == 7


def test_difficulty_of_the_simulator_is_its_own():
    table = rows(prose(DOCS / "simulation.md"))[2:]
    assert {name.strip("`"): float(value) for _, name, value in table} == dataclasses.asdict(
        Difficulty()
    )
