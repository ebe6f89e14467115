"""A checkpoint is whole or not there."""

import pytest
import torch

from training.checkpoint_io import AtomicCheckpointIO


def test_what_is_saved_is_read_back(tmp_path):
    """Folders are made; nothing else is left beside the file."""
    path = tmp_path / 'run' / 'last.ckpt'
    AtomicCheckpointIO().save_checkpoint({'weights': torch.arange(3)}, path)
    found = AtomicCheckpointIO().load_checkpoint(path, weights_only=True)
    assert found['weights'].tolist() == [0, 1, 2]
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    """The error is the disk's own."""
    path = tmp_path / 'last.ckpt'
    AtomicCheckpointIO().save_checkpoint({'epoch': 1}, path)

    def full(descriptor):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr('training.checkpoint_io.os.fsync', full)
    with pytest.raises(OSError, match='No space left on device'):
        AtomicCheckpointIO().save_checkpoint({'epoch': 2}, path)
    assert AtomicCheckpointIO().load_checkpoint(path, weights_only=True) == {'epoch': 1}
    assert list(tmp_path.iterdir()) == [path]
