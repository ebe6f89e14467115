"""The table of faults names tests that there are."""
from __future__ import annotations

import ast
from pathlib import Path
import re

import pytest

ROOT = Path(__file__).resolve().parent
TABLE = (ROOT / 'README.md').read_text(encoding='utf-8')
ROWS = [line for line in TABLE.splitlines() if line.startswith('| ') and '.py::' in line]
NAMED = sorted(set(re.findall(r'`([\w/]+\.py)::(\w+)`', TABLE)))


def test_every_row_names_one_test_and_says_what_happens() -> None:
    assert len(ROWS) > 40
    for row in ROWS:
        _, fault, test, happens, _ = row.split('|')
        assert fault.strip() and happens.strip()
        assert re.fullmatch(r' `[\w/]+\.py::test_\w+` ', test), row


@pytest.mark.parametrize('path, name', NAMED)
def test_it_exists(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding='utf-8'))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
