"""Lightning checkpoints that are whole or not there."""

from __future__ import annotations

from collections.abc import Mapping
import io
import os
from pathlib import Path
from typing import Any

from lightning_fabric.plugins.io import TorchCheckpointIO
import torch


class AtomicCheckpointIO(TorchCheckpointIO):
    """
    Write beside the old file and take its place once all is on the disk.

    Lightning's own goes by way of /tmp, from where a file is copied when it lies on another
    disk: a process that is killed meanwhile leaves half a checkpoint and no other.
    """

    def save_checkpoint(self, checkpoint: Mapping[str, Any], path: str | Path,
                        storage_options: Any = None) -> None:
        """
        Write a checkpoint.

        :param checkpoint: what `torch.save` takes.
        :param path: of the file; its folder is made.
        :param storage_options: of Lightning; not supported.
        :raises OSError: the file cannot be written, such as on a full disk; an older one stays.
        """
        path = Path(path)
        partial = path.with_name(f'{path.name}.partial')
        content = io.BytesIO()  # torch.save turns what a full disk says into riddles
        torch.save(dict(checkpoint), content)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open('wb') as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
