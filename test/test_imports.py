"""The rooms of the package import one way, and torch only where networks are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {'torch', 'torchvision', 'timm'}
TORCH_ROOMS = ('roadseg_ros/models/', 'roadseg_ros/inference/engines/torch')

# What a room may import of the package; the modules beside the rooms are the room 'core'.
ALLOWED = {
    'core': {'core'},
    'models': {'core', 'models'},
    'inference': {'core', 'models', 'inference'},
    'node': {'core', 'inference', 'node'},
    'tools': {'core', 'inference', 'node', 'tools'},
    'training': {'core', 'models', 'inference', 'training'},
}
SOURCES = sorted(
    path for folder in ('roadseg_ros', 'training') for path in (ROOT / folder).rglob('*.py'))


def room_of(module: str) -> str | None:
    """
    Name the room that a module belongs to.

    :param module: dotted name
    :return: the room; None for a module of neither package
    """
    parts = module.split('.')
    if parts[0] == 'training':
        return 'training'
    if parts[0] != 'roadseg_ros':
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ALLOWED else 'core'


def dotted(path: Path) -> str:
    """
    Name the module that a file holds.

    :param path: a Python file of the repository
    :return: dotted name
    """
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imported(node: ast.AST, path: Path) -> list[str]:
    """
    List what an import statement may load.

    :param node: any node of the syntax tree
    :param path: the file that it stands in
    :return: dotted names; empty where the node is no import
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    package = path.relative_to(ROOT).parent.parts
    above = package[:len(package) - node.level + 1] if node.level else ()
    base = '.'.join([*above, *([node.module] if node.module else [])])
    return [f'{base}.{alias.name}' for alias in node.names]


def on_torch(path: Path) -> bool:
    """
    Say whether a file may import torch when it is imported.

    :param path: a Python file of the repository
    :return: True for networks, the torch engine and training
    """
    return path.relative_to(ROOT).as_posix().startswith(('training/', *TORCH_ROOMS))


def is_type_checking(node: ast.AST) -> bool:
    """
    Say whether a statement is an `if TYPE_CHECKING:`, which never runs.

    :param node: a statement
    :return: True for such a block
    """
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith('TYPE_CHECKING')


def at_import(tree: ast.AST) -> Iterator[ast.AST]:
    """
    Walk what runs when a module is imported: everything but function bodies.

    :param tree: where to start
    :return: the nodes below it
    """
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if not is_type_checking(child):
            yield child
            yield from at_import(child)


def names_of(path: Path, *, everywhere: bool) -> set[str]:
    """
    List what a file imports.

    :param path: a Python file of the repository
    :param everywhere: imports within functions and for type checks too
    :return: dotted names
    """
    tree = ast.parse(path.read_text(encoding='utf-8'))
    nodes = ast.walk(tree) if everywhere else at_import(tree)
    return {name for node in nodes for name in imported(node, path)}


@pytest.mark.parametrize('path', SOURCES, ids=dotted)
def test_imports_run_one_way(path: Path) -> None:
    room = room_of(dotted(path))
    wrong = {name for name in names_of(path, everywhere=True)
             if room_of(name) not in {None, *ALLOWED[str(room)]}}
    assert not wrong, f'{room} may not import {sorted(wrong)}'


@pytest.mark.parametrize('path', [path for path in SOURCES if not on_torch(path)], ids=dotted)
def test_only_networks_import_torch_at_once(path: Path) -> None:
    heavy = {name for name in names_of(path, everywhere=False) if name.split('.')[0] in HEAVY}
    assert not heavy


@pytest.mark.parametrize(
    'path', [path for path in SOURCES if room_of(dotted(path)) not in {'node', 'tools'}],
    ids=dotted)
def test_only_node_and_tools_know_ros(path: Path) -> None:
    packages = {name.split('.')[0] for name in names_of(path, everywhere=True)}
    assert not {name for name in packages
                if name == 'rclpy' or name.endswith(('_msgs', '_srvs'))}


def loaded_by(*modules: str) -> set[str]:
    """
    Import modules in a fresh interpreter.

    :param modules: dotted names
    :return: names of the packages loaded then
    """
    code = f'import sys, {", ".join(modules)}; print(*{{n.split(".")[0] for n in sys.modules}})'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, text=True, check=False,
                          capture_output=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_core_and_inference_load_neither_torch_nor_ros() -> None:
    modules = [dotted(path) for path in SOURCES
               if room_of(dotted(path)) in {'core', 'inference'} and not on_torch(path)]
    assert not loaded_by(*modules) & {*HEAVY, 'rclpy'}


def test_node_loads_no_torch() -> None:
    pytest.importorskip('rclpy')
    assert not loaded_by('roadseg_ros.node.lifecycle') & HEAVY


def test_command_loads_no_torch() -> None:
    assert not loaded_by('roadseg_ros.tools.main') & HEAVY
