"""No source unpickles or evaluates, or hands text to a shell."""
from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted(path for folder in ('roadseg_ros', 'training', 'benchmarks', 'launch')
                 for path in (ROOT / folder).rglob('*.py'))
MODULES = {'pickle', 'cPickle', '_pickle', 'dill', 'cloudpickle', 'joblib', 'marshal', 'shelve',
           'code', 'runpy'}
BUILTINS = {'eval', 'exec', 'compile', '__import__'}
CALLS = {'os.system', 'os.popen', 'yaml.load', 'yaml.load_all', 'yaml.full_load',
         'yaml.unsafe_load', 'torch.jit.load', 'torch.hub.load', 'torch.package.PackageImporter',
         'pandas.read_pickle', 'subprocess.getoutput'}
DANGEROUS = {'shell': True, 'allow_pickle': True, 'weights_only': False}
# training resumes runs of its own folder, which Lightning pickles
ALLOWED = {'training/train.py: weights_only=False'}
HARMLESS = {'pickle.UnpicklingError'}  # caught, not called


def findings(source: str, where: str = 'x.py') -> set[str]:
    """Return what a source does that data could turn into code."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            base = f'{node.module}.' if isinstance(node, ast.ImportFrom) else ''
            names = {base + alias.name for alias in node.names} - HARMLESS
            found |= {f'import {name}' for name in names if name.split('.')[0] in MODULES}
        if not isinstance(node, ast.Call):
            continue
        called, keywords = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
        if called in BUILTINS | CALLS:
            found.add(called)
        if called == 'torch.load' and 'weights_only' not in keywords:
            found.add('torch.load without weights_only')
        found |= {f'{name}={value}' for name, value in DANGEROUS.items()
                  if isinstance(keywords.get(name), ast.Constant)
                  and keywords[name].value is value}
    return {f'{where}: {text}' for text in found}


@pytest.mark.parametrize('path', SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_source_turns_data_into_code(path: Path) -> None:
    where = path.relative_to(ROOT).as_posix()
    assert not findings(path.read_text(encoding='utf-8'), where) - ALLOWED


@pytest.mark.parametrize('source', [
    'eval("1")', 'exec(text)', 'import pickle', 'from pickle import loads', 'import shelve as s',
    'torch.load(file)', 'torch.load(file, weights_only=False)', 'yaml.load(text)',
    'np.load(path, allow_pickle=True)', 'subprocess.run(text, shell=True)', 'os.system(text)'])
def test_each_of_them_would_be_found(source: str) -> None:
    assert findings(source)


@pytest.mark.parametrize('source', [
    'network.eval()', 're.compile(text)', 'yaml.safe_load(text)', 'np.load(path)',
    'torch.load(file, weights_only=True)', 'from pickle import UnpicklingError',
    'core.compile_model(model)'])
def test_what_only_looks_like_it_passes(source: str) -> None:
    assert not findings(source)
