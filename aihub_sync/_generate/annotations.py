"""Read and rewrite annotations and decorators."""

import ast

from aihub_sync._generate.layout import Imports
from aihub_sync._generate.rules import PAGES, SYNC_NAMES, Rules
from aihub_sync._generate.sources import Function


class SyncTypes(ast.NodeTransformer):
    """Replace types of the async client by those of the sync one."""

    def __init__(self, rules: Rules, imports: Imports) -> None:
        self._rules = rules
        self._imports = imports

    def visit_Name(self, node: ast.Name) -> ast.expr:  # the name that ast calls
        if node.id in SYNC_NAMES:
            self._rules.used.add(node.id)
            return ast.Name(SYNC_NAMES[node.id])
        if node.id not in PAGES:
            return node
        self._rules.used.add(node.id)
        item = PAGES[node.id]
        if item is None:
            return ast.Name("Pages")
        self._imports.add(*item, typing_only=True)
        return ast.Subscript(ast.Name("Pages"), ast.Name(item[1]))


def names_in(node: ast.AST | None) -> set[str]:
    """Return all names in a piece of code."""
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)} if node is not None else set()


def decorator_names(function: Function) -> set[str]:
    """Return the names of the decorators of a function."""
    return names_in(ast.Tuple(list(function.decorator_list)))


def parsed(annotation: ast.expr) -> ast.expr:
    """Return an annotation as code, even if it was written as text."""
    match annotation:
        case ast.Constant(value=str(text)):
            return ast.parse(text, mode="eval").body
        case _:
            return annotation
