"""The directive ``promises``: what is promised, and the tests that prove it.

Its content is a definition list; a term is the promise's id and its name::

    P1 Start
    : joins the caller's transaction.

It becomes a table, and below it the tests of each promise, which tests/proofs.py finds. A promise without a test is an
error of the build, and so is a mark of what is not promised here. On every page, so is the name of a test that does not
exist.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

from tests import proofs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sphinx.application import Sphinx

NAME_OF_A_TEST = re.compile(r"test_\w{8,}")  # a file's name is shorter, or has a suffix

logger = getLogger(__name__)


class Promise(NamedTuple):
    id: str  # P1
    name: list[nodes.Node]
    meaning: list[nodes.Node]


class Promises(SphinxDirective):
    has_content = True

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # marks change where no page does
        given = [_promise_of(item) for item in self.parse_content_to_nodes() for item in item.findall(_is_item)]
        found = proofs.proofs()
        told = {promise.id for promise in given}
        for name in sorted(found.keys() - told):
            raise self.error(f"{found[name][0].node_id} is marked with {name!r}, which is not promised here.")
        for name in sorted(told - found.keys()):
            raise self.error(f"No test proves the promise {name}: mark one with @pytest.mark.promise({name!r}).")
        lists = [node for promise in given for node in _tests_of(promise, found[promise.id])]
        return [_table(given, found), *lists]


def _is_item(node: nodes.Node) -> bool:
    return isinstance(node, nodes.definition_list_item)


def _promise_of(item: nodes.Node) -> Promise:
    [term] = item.findall(nodes.term)
    [definition] = item.findall(nodes.definition)
    first, _, name = term.astext().partition(" ")
    return Promise(first, [nodes.strong(text=name)], definition.children)


def _table(given: list[Promise], found: dict[str, list[proofs.NamedTest]]) -> nodes.table:
    widths = (6, 14, 66, 14)
    group = nodes.tgroup(cols=len(widths))
    group += [nodes.colspec(colwidth=width) for width in widths]
    group += nodes.thead("", _row([_text("") for _ in widths[:-1]] + [_text("proved by")]))
    body = nodes.tbody()
    for promise in given:
        count = len(found[promise.id])
        link = nodes.reference("", f"{count} tests" if count > 1 else "1 test", internal=True, refid=_anchor(promise))
        name = nodes.paragraph("", "", *promise.name)
        body += _row([_text(promise.id), name, promise.meaning, nodes.paragraph("", "", link)])
    group += body
    return nodes.table("", group)


def _row(cells: Iterable[nodes.Node | list[nodes.Node]]) -> nodes.row:
    return nodes.row("", *(nodes.entry("", *(cell if isinstance(cell, list) else [cell])) for cell in cells))


def _text(text: str) -> nodes.paragraph:
    return nodes.paragraph(text=text)


def _anchor(promise: Promise) -> str:
    return f"proofs-of-{promise.id.lower()}"


def _tests_of(promise: Promise, tests: list[proofs.NamedTest]) -> list[nodes.Node]:
    head = nodes.rubric("", f"{promise.id}: {promise.name[0].astext().lower()}", ids=[_anchor(promise)])
    return [head, nodes.bullet_list("", *(nodes.list_item("", _link(test)) for test in tests))]


def _link(test: proofs.NamedTest) -> nodes.paragraph:
    """Its node id, which leads to a copy of its file."""
    link = addnodes.download_reference("", "", nodes.literal(text=test.node_id), reftarget=f"/../{test.path}")
    return nodes.paragraph("", "", link)


def check_names(app: Sphinx, page: nodes.document) -> None:
    """Complain of tests that a page names and that do not exist."""
    known = {test.function for test in proofs.all_tests()}
    for literal in page.findall(nodes.literal):
        name = literal.astext()
        if NAME_OF_A_TEST.fullmatch(name) and name not in known:
            logger.warning("there is no test %s", name, location=literal)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_directive("promises", Promises)
    app.connect("doctree-read", check_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
