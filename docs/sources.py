"""A Sphinx extension: links between the languages and to the code; our docstrings.

In Markdown a link to a file of the repository is a plain relative path, which works
where the pages are read as files too. On the site it leads to a page with the file's
text. Where the words of such a link are `` `a_function` ``, it leads to that function's
line, and a function that the file does not have is a warning: a claim cannot name a
test that is gone.
"""

import html
import os
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_for_filename
from pygments.lexers.special import TextLexer
from pygments.util import ClassNotFound
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

DOCS = Path(__file__).parent
ROOT = DOCS.parent
CHINESE = "[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef]"
OTHER = {"en": ("zh", "中文"), "zh_CN": ("en", "English")}

logger = logging.getLogger(__name__)


class LinksToFiles(SphinxTransform):
    """Links to pages, in place of what would be downloads."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Replace every download of this page."""
        for node in list(self.document.findall(addnodes.download_reference)):
            docname = self.env.docname
            file = Path(self.env.relfn2path(node["reftarget"], docname)[1]).resolve()
            if file.suffix == ".md" and file.is_relative_to(DOCS):
                page = site_path(file.relative_to(DOCS).with_suffix(".html"), self)
            else:
                page = f"code/{file.relative_to(ROOT).as_posix()}.html"
                self.env.linked_files.setdefault(docname, set()).add(file)
                page += line_of(node.astext(), file, node)
            here = Path(docname).parent.as_posix()
            target = os.path.relpath(page, here) if here != "." else page
            link = nodes.reference("", "", *node.children, refuri=target)
            for literal in link.findall(nodes.literal):
                literal["classes"] = ["docutils", "literal"]
            node.replace_self(link)


class Tidy(SphinxTransform):
    """Chinese without the space that a line's end leaves, and code without a margin."""

    default_priority = 990

    def apply(self, **_: Any) -> None:
        """Change the page's texts."""
        for block in self.document.findall(nodes.literal_block):
            if block.get("language", "default") in ("default", "python"):
                text = textwrap.dedent(block.astext()).strip("\n")
                block.children[:] = []
                block += nodes.Text(text)
                block.rawsource = text  # where they differ, nothing is coloured
        if self.config.language != "zh_CN":
            return
        for text in list(self.document.findall(nodes.Text)):
            if isinstance(text.parent, nodes.literal_block) or "\n" not in text:
                continue
            # The end of a line may be a text of its own, between those beside it.
            place = text.parent.index(text)
            before, after = (
                "".join(node.astext() for node in text.parent[max(k, 0) : k + 1])
                for k in (place - 1, place + 1)
            )
            whole = f"{before[-1:]}{text.astext()}{after[:1]}"
            joined = re.sub(f"(?<={CHINESE})\n(?={CHINESE})", "", whole)
            joined = joined[len(before[-1:]) : len(joined) - len(after[:1])]
            text.parent.replace(text, nodes.Text(joined))


def site_path(page: Path, transform: SphinxTransform) -> str:
    """Return where a page of docs/ lies, seen from the top of this language's build."""
    if transform.config.language == "en":
        return page.as_posix()
    return f"../{page.as_posix()}"


def line_of(words: str, file: Path, node: nodes.Node) -> str:
    """Return the fragment of the function or class that a link names, or ""."""
    if not re.fullmatch(r"\w+", words) or file.suffix != ".py":
        return ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if re.match(rf"\s*(def|class) {words}\b", line):
            return f"#line-{number}"
    logger.warning("%s has no %s", file.relative_to(ROOT), words, location=node)
    return ""


def code_pages(app: Sphinx) -> Iterator[tuple[str, dict[str, str], str]]:
    """Yield a page for each file of the repository that some page links to."""
    formatter = HtmlFormatter(lineanchors="line", wrapcode=True)
    for file in sorted(set().union(*app.env.linked_files.values())):
        try:
            lexer = get_lexer_for_filename(file.name)
        except ClassNotFound:
            lexer = TextLexer()
        name = file.relative_to(ROOT).as_posix()
        code = highlight(file.read_text(encoding="utf-8"), lexer, formatter)
        title = html.escape(name)
        body = f"<section><h1>{title}</h1>{code}</section>"
        yield f"code/{name}", {"title": title, "body": body}, "page.html"


def mark_up(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Make reStructuredText of a docstring, which is plain text with `code`.

    Its stars and bars are themselves, and a paragraph that is indented is a program.
    """
    if what in ("attribute", "property") and lines:
        # Napoleon takes what stands before a colon there for a type.
        lines[0] = lines[0].replace(": ", " \N{EN DASH} ", 1)
    marked: list[str] = []
    literal, before = False, ""
    for line in lines:
        indented = line.startswith("    ")
        if indented and marked and not marked[-1] and not literal:
            literal = bool(before) and not before.startswith((" ", "- "))
            if literal:
                marked += ["::", ""]
        elif line and not indented:
            literal = False
        if not literal:
            parts = line.split("`")
            parts[::2] = [re.sub(r"([*|])", r"\\\1", part) for part in parts[::2]]
            marked.append("`".join(parts))
        else:
            marked.append(line)
        before = line or before
    lines[:] = marked


def add_language_link(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Put the other language's page above a page, if it is one of Markdown."""
    if doctree is None:
        return
    language, words = OTHER[app.config.language]
    up = "../" * page.count("/")
    home = DOCS / "zh" if language == "zh" else DOCS
    if not (home / f"{page}.md").exists():
        return  # a page of measurements that nobody has taken yet
    there = f"{up}zh/{page}.html" if language == "zh" else f"{up}../{page}.html"
    link = f'<a href="{there}" hreflang="{language}">{words}</a>'
    context["body"] = f'<p class="language">{link}</p>{context["body"]}'


def measured(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say so where a page would show measurements that nobody has taken yet."""
    for block, name in re.findall(r"(```\{include\} (\S+)\n.*?```)", source[0], re.S):
        if not Path(app.env.doc2path(docname)).parent.joinpath(name).exists():
            source[0] = source[0].replace(block, "尚未测量。")


def forget(app: Sphinx, env: Any, docname: str) -> None:
    """Drop the links of a page that is read anew."""
    env.linked_files.pop(docname, None)


def begin(app: Sphinx) -> None:
    """Make a place for the files that pages link to."""
    if not hasattr(app.env, "linked_files"):
        app.env.linked_files = {}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register all this with Sphinx."""
    app.add_transform(LinksToFiles)
    app.add_transform(Tidy)
    app.connect("builder-inited", begin)
    app.connect("source-read", measured)
    app.connect("env-purge-doc", forget)
    app.connect("html-collect-pages", code_pages)
    app.connect("autodoc-process-docstring", mark_up, priority=1)  # before napoleon
    app.connect("html-page-context", add_language_link)
    return {"version": "1", "parallel_read_safe": False}
