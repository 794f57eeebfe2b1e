"""Makes pages of the files outside of `docs` that its pages link to.

In the repository a page links to `../pastis_jax/fusion.py`, which is right there. The site has a
page of that file at `source/pastis_jax/fusion.py.html`; Markdown becomes a page as it is, and a
notebook leads to its tutorial. Links in docstrings are left as they are.
"""

from __future__ import annotations

import pathlib
import posixpath
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = pathlib.Path(__file__).parents[2]
LINK = re.compile(r"(?<=\]\()([^)\s#]+)(?=[)#])")
CODE = re.compile(r"^```.*?^```|`[^`\n]+`", flags=re.DOTALL | re.MULTILINE)
LANGUAGES = {
    ".csv": "text",
    ".sh": "bash",
    ".py": "python",
    ".json": "json",
    ".toml": "toml",
    ".txt": "text",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for each file outside of `docs` that a page, or such a file, links to."""
    waiting = [page for page in files.documentation_pages() if page.generated_by is None]
    while waiting:
        page = waiting.pop()
        for target in _outside(page):
            uri = _uri(target)
            if files.get_file_from_path(uri) is None and not uri.startswith("tutorials/"):
                made = File.generated(
                    config, uri, content=_content(target), inclusion=InclusionLevel.NOT_IN_NAV
                )
                files.append(made)
                waiting.append(made)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leads links to files outside of `docs` to their pages."""
    here = posixpath.dirname(page.file.src_uri)

    def led(match: re.Match[str]) -> str:
        target = _target(page.file, match.group())
        if target is None:
            return match.group()
        return posixpath.relpath(_uri(target), here or ".")

    pieces, end = [], 0
    for code in CODE.finditer(markdown):
        pieces += [LINK.sub(led, markdown[end : code.start()]), code.group()]
        end = code.end()
    return "".join([*pieces, LINK.sub(led, markdown[end:])])


def _outside(page: File) -> list[str]:
    """Paths from the root of the repository of the files outside of `docs` that a page links to."""
    links = LINK.findall(CODE.sub("", page.content_string))
    return [target for link in links if (target := _target(page, link)) is not None]


def _target(page: File, link: str) -> str | None:
    """The path of a link from the root of the repository, where it is no page's of `docs`."""
    if "://" in link or link.startswith("mailto:"):
        return None
    uri = page.src_uri
    here = posixpath.dirname(uri.removeprefix("source/") if _is_source(uri) else f"docs/{uri}")
    target = posixpath.normpath(posixpath.join(here, link))
    inside = target.startswith("docs/") and not _is_source(uri)
    return None if inside or not (ROOT / target).exists() else target


def _is_source(uri: str) -> bool:
    return uri.startswith("source/")


def _uri(target: str) -> str:
    """Where the site has a file of the repository, given by its path from the root."""
    path = pathlib.PurePosixPath(target)
    if path.suffix == ".ipynb":
        return f"tutorials/{path.stem}.md"
    if path.parts[0] == "docs":
        return target.removeprefix("docs/")
    if target == "notebooks/README.md":
        return "tutorials/index.md"
    return f"source/{target}" if path.suffix == ".md" else f"source/{target}.md"


def _content(target: str) -> str:
    path = ROOT / target
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    language = LANGUAGES[path.suffix]
    head = f"---\nsearch:\n  exclude: true\n---\n\n# `{target}`\n\n"
    return f"{head}``````{language}\n{text}\n``````\n"
