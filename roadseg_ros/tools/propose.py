"""`roadseg segment --frames N`: the frames of a drive to label next, with masks to correct."""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
import sys

import cv2
from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.segmenter import Segmentation, Segmenter
from roadseg_ros.tools.arguments import new_folder
from roadseg_ros.tools.bag_file import STORAGES
from roadseg_ros.tools.frames import Frame, Source, SourceError
from roadseg_ros.tools.proposals import Proposals
from roadseg_ros.tools.selection import Candidate, describe, Selection
from roadseg_ros.tools.sources import open_source

COLUMNS = ('name', 'file', 'stamp_ns', 'topic', 'doubt')


def propose(options: argparse.Namespace) -> int:
    """
    Choose frames of an input and write them with their masks, for people to correct.

    The input is read twice, so that no picture has to be kept in memory.

    :param options: of `roadseg segment`.
    :return: exit status, 1 if a frame could not be read.
    :raises ValueError: input, output or checkpoint cannot be used, or the input is damaged.
    """
    if options.frames < 1:
        raise ValueError(f'--frames {options.frames} chooses nothing; 1 or more')
    if options.out.suffix.lower() in STORAGES:
        raise ValueError(f'--frames writes a folder of pictures, not a bag: --out {options.out}')
    folder = new_folder(options.out)
    survey = Survey(options)
    chosen = survey.choose(options.frames)
    folder.mkdir(parents=True, exist_ok=True)
    survey.write(folder, chosen)
    if options.json:
        print(json.dumps({
            'input': str(options.input), 'out': str(folder), 'frames': len(chosen),
            'seen': survey.seen, 'failed': len(survey.errors), 'errors': survey.errors,
            'damage': survey.damage, 'device': survey.segmenter.device,
            'engine': survey.segmenter.engine}, indent=2))
    else:
        print(f'{len(chosen)} of {survey.seen} frames written to {folder}, '
              f'{len(survey.errors)} failed; to correct in LabelMe or CVAT')
    if survey.damage:
        raise SourceError(survey.damage)
    return 1 if survey.errors else 0


class Survey:
    """
    An input and what segments it.

    :param options: of `roadseg segment`.
    :raises ValueError: the input or checkpoint cannot be used.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self.errors: list[dict[str, str]] = []
        self.seen, self.damage = 0, ''
        with open_source(options.input, options.topic, options.rate) as source:
            if source.note:
                print(f'roadseg segment: {source.note}', file=sys.stderr)
        self.segmenter = Segmenter(options.checkpoint or default_checkpoint_path(),
                                   device=options.device, engine=options.engine)

    def choose(self, count: int) -> list[Candidate]:
        """Look at every frame and return the chosen ones, in order."""
        selection, classes = Selection(count), len(self.segmenter.labels)
        with open_source(self._options.input, self._options.topic, self._options.rate) as source:
            try:
                for index, frame in enumerate(tqdm(source, 'choosing', source.count, unit='frame',
                                                   disable=None)):
                    try:
                        picture = frame.decode()
                        result = self._segmented(picture)
                    except (ValueError, cv2.error) as error:
                        self.errors.append({'frame': frame.label, 'error': str(error)})
                        tqdm.write(f'roadseg segment: {frame.label}: {error}', file=sys.stderr)
                        continue
                    assert result.confidence is not None
                    self.seen += 1
                    selection.offer(frame.topic, describe(index, picture, result.class_ids,
                                                          result.confidence, classes))
            except SourceError as error:
                self.damage = str(error)
        if not self.seen:
            raise SourceError(self.damage or f'{self._options.input}: no frame could be read')
        return selection.chosen()

    def write(self, folder: Path, chosen: list[Candidate]) -> None:
        """Read the input again, and write the chosen frames and which they are."""
        proposals = Proposals(folder, self.segmenter.labels)
        proposals.write_labels()
        wanted = {candidate.index: candidate for candidate in chosen}
        with open_source(self._options.input, self._options.topic, self._options.rate) as source, \
                (folder / 'frames.csv').open('w', newline='', encoding='utf-8') as file, \
                tqdm(total=len(chosen), desc='writing', unit='frame', disable=None) as bar:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for index, frame in enumerate(source):
                if index not in wanted:
                    continue
                picture = frame.decode()
                name = proposals.write(frame.stem, picture, self._segmented(picture).class_ids)
                table.writerow((name, *_origin(source, frame), f'{wanted[index].doubt:.4f}'))
                bar.update()
                if index == chosen[-1].index:
                    return

    def _segmented(self, picture: cv2.typing.MatLike) -> Segmentation:
        """Return what the network sees in a picture."""
        return self.segmenter.segment([picture])[0]


def _origin(source: Source, frame: Frame) -> tuple[str, str, str]:
    """Return file, stamp and topic of a frame, as far as its input has them."""
    return (frame.label if source.kind == 'images' else '',
            '' if source.kind == 'images' else str(frame.stamp_ns),
            frame.topic if source.kind == 'bag' else '')
