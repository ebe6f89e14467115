"""The checkpoint file: what goes in comes out; what does not belong is named."""
from dataclasses import replace
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from roadseg_ros.checkpoint import (
    Checkpoint,
    CheckpointError,
    default_checkpoint_path,
    load_checkpoint,
    MAX_FILE_BYTES,
    MAX_HEADER_BYTES,
    Preprocessing,
)
from roadseg_ros.labels import LabelSpace

PREPROCESSING = Preprocessing('bgr', 1.0, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), 48, 64)


def make_checkpoint(**changes):
    """Return a checkpoint of a network that need not exist."""
    fields = {
        'architecture': 'some_network', 'arguments': {'num_classes': 2, 'widths': [4, 8]},
        'labels': LabelSpace(('sky', 'road'), ((1, 2, 3), (4, 5, 6))),
        'preprocessing': PREPROCESSING,
        'tensors': {'a': np.arange(6, dtype=np.float16).reshape(2, 3), 'n': np.array(7)},
        'provenance': {'recipe': 'r', 'metrics': {'mean_iou': 0.5, 'iou': {'sky': None}}}}
    return Checkpoint(**{**fields, **changes})


def rewrite(path, **changes):
    """Change fields of a file's JSON document behind the package's back; None removes."""
    make_checkpoint().save(path)
    from safetensors import safe_open
    with safe_open(path, framework='numpy') as file:
        document = json.loads(file.metadata()['roadseg'])
    document.update(changes)
    document = {name: value for name, value in document.items() if value is not None}
    save_file(load_file(path), path, metadata={'roadseg': json.dumps(document)})


def test_saved_is_loaded(tmp_path):
    """Every field and every tensor, with its type, survives the file."""
    path = tmp_path / 'a.safetensors'
    saved = make_checkpoint()
    saved.save(path)
    loaded = load_checkpoint(str(path))
    assert replace(loaded, tensors={}) == replace(saved, tensors={})
    assert loaded.tensors.keys() == saved.tensors.keys()
    for name, value in saved.tensors.items():
        assert loaded.tensors[name].dtype == value.dtype
        assert loaded.tensors[name].shape == value.shape
        np.testing.assert_array_equal(loaded.tensors[name], value)


def test_tensors_laid_out_backwards_keep_their_values(tmp_path):
    """Views that are not contiguous are written as what they show."""
    path = tmp_path / 'a.safetensors'
    view = np.arange(6, dtype=np.float32).reshape(2, 3).T[::-1]
    make_checkpoint(tensors={'view': view}).save(path)
    np.testing.assert_array_equal(load_checkpoint(path).tensors['view'], view)


def test_failed_save_keeps_the_old_file(tmp_path):
    """A save that fails leaves the previous file whole and nothing beside it."""
    path = tmp_path / 'a.safetensors'
    make_checkpoint().save(path)
    before = path.read_bytes()
    with pytest.raises(TypeError):
        make_checkpoint(provenance={'bad': object()}).save(path)
    with pytest.raises(Exception, match='(?i)type|dtype|object'):
        make_checkpoint(tensors={'bad': np.array([object()])}).save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['a.safetensors']


@pytest.mark.parametrize('length', range(0, 512, 8))
def test_every_length_of_header_is_read(tmp_path, length):
    """A header of 128 bytes and so on begins with the byte that a pickle begins with."""
    path = tmp_path / 'a.safetensors'
    make_checkpoint(provenance={'note': 'x' * length}).save(path)
    assert load_checkpoint(path).provenance['note'] == 'x' * length


def test_default_checkpoint_is_the_packaged_one():
    """The node runs with weights/roadseg.safetensors unless told otherwise."""
    assert default_checkpoint_path().parts[-2:] == ('weights', 'roadseg.safetensors')


def test_loading_needs_no_torch(checkpoint_path):
    """Checkpoints are read without the cost of torch."""
    code = ('import sys; from roadseg_ros.checkpoint import load_checkpoint; '
            'load_checkpoint(sys.argv[1]); sys.exit("torch" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code, str(checkpoint_path)],
                          check=False).returncode == 0


def write_pickle(path):
    """Write what torch.save wrote before its zip format."""
    path.write_bytes(pickle.dumps({'a': 1}, protocol=2))


def write_zip(path):
    """Write what torch.save writes: a zip of a pickle."""
    with zipfile.ZipFile(path, 'w') as file:
        file.writestr('archive/data.pkl', pickle.dumps({}))


def write_truncated(path):
    """Write the first two thirds of a checkpoint."""
    make_checkpoint().save(path)
    content = path.read_bytes()
    path.write_bytes(content[:len(content) * 2 // 3])


def bfloat16_file():
    """Return a whole file of a type that numpy does not have."""
    from safetensors.torch import save
    import torch
    return save({'a': torch.zeros(2, dtype=torch.bfloat16)}, {'roadseg': '{}'})


@pytest.mark.parametrize('write, reason', [
    (lambda path: None, 'cannot read checkpoint .*No such file'),
    (lambda path: path.mkdir(), 'cannot read checkpoint .*directory'),
    (write_pickle, 'pickled PyTorch file; only .safetensors'),
    (write_zip, 'pickled PyTorch file; only .safetensors'),
    (write_truncated, 'not a whole .safetensors file'),
    (lambda path: path.write_bytes(b''), 'not a whole .safetensors file'),
    (lambda path: path.write_bytes(b'GIF89a, not weights'), 'not a whole .safetensors file'),
    (lambda path: save_file({'a': np.zeros(1)}, path), 'without roadseg metadata'),
    (lambda path: save_file({'a': np.zeros(1)}, path, metadata={'roadseg': '{'}),
     'metadata does not fit'),
    (lambda path: save_file({'a': np.zeros(1)}, path, metadata={'roadseg': '[' * 100000}),
     'metadata does not fit'),
    (lambda path: make_checkpoint(tensors={'w': np.array([1, np.nan])}).save(path),
     'tensor w holds values that are not finite'),
    (lambda path: path.write_bytes(bfloat16_file()), 'not a whole .safetensors file of floats'),
    (lambda path: save_file({'a': np.zeros(1)}, path, metadata={'roadseg': 'null'}),
     'metadata does not fit'),
    (lambda path: rewrite(path, format_version=2), 'format version 2, this release reads 1'),
    (lambda path: rewrite(path, architecture=None), "'architecture' is missing"),
    (lambda path: rewrite(path, labels=[{'name': 'sky', 'color': [0, 0, 999]}]),
     "colour of 'sky'"),
    (lambda path: rewrite(path, arguments=7), 'metadata does not fit'),
    (lambda path: rewrite(path, preprocessing={'mean': [0, 0, 0], 'std': [1, 1, 1]}),
     'metadata does not fit.*channel_order'),
    (lambda path: rewrite(path, preprocessing={'mean': 0, 'std': [1, 1, 1]}),
     'metadata does not fit'),
])
def test_files_that_do_not_fit_are_named(tmp_path, write, reason):
    """Missing, foreign, damaged and pickled files each get one line that says so."""
    path = tmp_path / 'b.safetensors'
    write(path)
    with pytest.raises(CheckpointError, match=reason) as caught:
        load_checkpoint(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)


def claim(path, size, header):
    """Write a file that is large and of which nearly nothing is on the disk."""
    path.write_bytes(header.to_bytes(8, 'little') + b'{"')
    os.truncate(path, size)


@pytest.mark.parametrize('size, header, reason', [
    (MAX_FILE_BYTES + 1, 100, f'has {MAX_FILE_BYTES + 1} bytes, more than the limit'),
    (MAX_FILE_BYTES, MAX_HEADER_BYTES + 1, f'its header has more than {MAX_HEADER_BYTES} bytes'),
    (1000, 2 ** 63, 'not a whole .safetensors file'),
])
def test_what_is_too_large_is_not_read(tmp_path, size, header, reason):
    path = tmp_path / 'large.safetensors'
    claim(path, size, header)
    with pytest.raises(CheckpointError, match=reason):
        load_checkpoint(path)


def test_pickles_are_never_run(tmp_path):
    """A pickle that would write a file does not get to."""
    proof = tmp_path / 'ran'

    class Bomb:
        def __reduce__(self):
            return open, (str(proof), 'w')

    path = tmp_path / 'bomb.safetensors'
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match='a pickle can run code'):
        load_checkpoint(path)
    assert not proof.exists()


@pytest.mark.parametrize('changes, reason', [
    ({'channel_order': 'gbr'}, "rgb or bgr, not 'gbr'"),
    ({'height': 0}, 'frame size must be .*1..16384 a side.* not 64x0'),
    ({'width': 99999}, 'frame size must be .*1..16384 a side.* not 99999x48'),
    ({'height': 16384, 'width': 16384}, '33554432 in all, not 16384x16384'),
    ({'height': 48.5}, 'whole pixels'),
    ({'height': True}, 'whole pixels'),
    ({'scale': 'x'}, "scale is a positive number, not 'x'"),
    ({'scale': None}, 'scale is a positive number'),
    ({'scale': 10 ** 400}, 'scale is a positive number'),
    ({'scale': float('nan')}, 'scale is a positive number, not nan'),
    ({'scale': 0}, 'scale is a positive number, not 0'),
    ({'mean': (None, 0, 0)}, 'three numbers each'),
    ({'std': (float('nan'), 1, 1)}, 'three numbers each'),
    ({'std': ([1], [1], [1])}, 'three numbers each'),
    ({'mean': (0.5, 0.5)}, 'three numbers each'),
    ({'std': (1.0, 0.0, 1.0)}, 'std positive'),
])
def test_preprocessing_refuses_nonsense(changes, reason):
    """Values that no frame could be prepared with are refused by name."""
    with pytest.raises(CheckpointError, match=reason):
        replace(PREPROCESSING, **changes)
