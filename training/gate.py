"""
Fit the gate of the cache policy `corrected` on synthetic motion of single frames.

    python -m training.gate --root data/camvid

Each picture becomes a short drive: the camera moves towards a point of it, shakes and turns, and
pieces of another picture pass in front. Where what is carried along the flow and what the network
sees at half the size differ, and one of them is right, the gate learns which. Real drives, such
as CamVid val, are for measuring alone. What is printed is `WEIGHTS` in inference/correction.py.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
import sys

import cv2
import numpy as np
import torch
from tqdm import tqdm

from roadseg_ros.checkpoint import default_checkpoint_path
from roadseg_ros.inference.correction import Corrected, GateWeights, Labels, log_odds
from roadseg_ros.inference.engines import EngineError
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter
from roadseg_ros.labels import UNLABELLED
from training.datasets import DATASETS, make_dataset
from training.datasets.frames import Frame, Joined

STEPS = 6  # frames of a drive after its key
FRAME_NS = 10 ** 9 // 15
PIXELS = 4000  # taken of a frame
NO_TILT = np.zeros(2)


def drive(frame: Frame, other: Frame, rng: np.random.Generator) -> Iterator[Frame]:
    """
    Yield a picture and its mask, then as the camera moves on.

    :param frame: (H, W, 3) uint8 BGR and (H, W) uint8 ids.
    :param other: of the same size; pieces of it pass in front.
    :param rng: decides.
    """
    height, width = frame[1].shape
    towards = np.array((width, height)) * rng.uniform((0.3, 0.3), (0.7, 0.6))
    step = _motion(towards, rng.uniform(1, 1.04), rng.normal(0, 0.003), rng.normal(0, 1.5, 2),
                   rng.normal(0, 0.1 / width, 2))
    pieces = [_piece(height, width, rng) for _ in range(rng.integers(1, 5))]
    # not the very picture that the network was trained on
    view = _motion(towards, rng.uniform(1, 1.3), 0, NO_TILT, NO_TILT)
    for _ in range(STEPS + 1):
        image, mask = _moved(frame, view)
        for number, (shape, place, own_step) in enumerate(pieces):
            there = cv2.warpPerspective(shape, place, (width, height), flags=cv2.INTER_NEAREST)
            piece_image, piece_mask = _moved(other, place)
            image[there > 0], mask[there > 0] = piece_image[there > 0], piece_mask[there > 0]
            pieces[number] = (shape, own_step @ place, own_step)
        yield image, mask
        shake = _motion(towards, 1 + rng.normal(0, 0.002), 0, rng.normal(0, 0.5, 2), NO_TILT)
        view = shake @ step @ view


def _motion(centre: np.ndarray, zoom: float, turn: float, shift: np.ndarray,
            tilt: np.ndarray) -> np.ndarray:
    """Return the (3, 3) map of a step about a point; turn in radians, shift in pixels."""
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    about = np.array([[1, 0, -centre[0]], [0, 1, -centre[1]], [0, 0, 1]])
    step = np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]], [*tilt, 1]])
    back = np.array([[1, 0, centre[0]], [0, 1, centre[1]], [0, 0, 1]])
    return back @ step @ about


def _piece(height: int, width: int, rng: np.random.Generator
           ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the (H, W) uint8 shape of something, where it is, and its own step."""
    shape = np.zeros((height, width), np.uint8)
    centre = rng.uniform((0, 0.3), (1, 0.9)) * (width, height)
    axes = height * rng.uniform(0.02, 0.2, 2)
    cv2.ellipse(shape, (tuple(centre), tuple(2 * axes), rng.uniform(0, 180)), 1, -1)
    return shape, np.eye(3), _motion(centre, rng.uniform(0.98, 1.06), 0,
                                     rng.normal(0, 6, 2) * (1, 0.3), NO_TILT)


def _moved(frame: Frame, view: np.ndarray) -> Frame:
    """Return a picture and its mask from elsewhere, unlabelled where nothing is known."""
    size = frame[1].shape[::-1]
    return (cv2.warpPerspective(frame[0], view, size, borderMode=cv2.BORDER_REFLECT_101),
            cv2.warpPerspective(frame[1], view, size, flags=cv2.INTER_NEAREST,
                                borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELLED))


class Examples:
    """
    A gate that chooses nothing and notes what there was to choose from.

    :param rng: picks the pixels.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self.truth = np.empty((0, 0), np.uint8)  # of the frame to come
        self.rows: list[np.ndarray] = []
        self._rng = rng

    def choose(self, carried: Labels, seen: Labels) -> Labels:
        """Note pixels where one label is right and the other wrong."""
        old, new = carried[0], seen[0]
        pixels = np.flatnonzero((old != new) & (old != UNLABELLED) & (self.truth != UNLABELLED)
                                & ((old == self.truth) | (new == self.truth)))
        pixels = self._rng.permutation(pixels)[:PIXELS]
        self.rows.append(np.column_stack([
            labels.ravel()[pixels] for labels in (*carried, *seen, self.truth)]))
        return carried


def collect(segmenter: Segmenter, small: Segmenter, data: Joined, rng: np.random.Generator
            ) -> np.ndarray:
    """
    Return what there was to choose from in drives made of pictures.

    :param segmenter: of the checkpoint.
    :param small: of the same one, at half the height.
    :param data: labelled pictures of one size.
    :param rng: decides.
    :return: (n, 5) uint8: carried id and confidence, seen id and confidence, truth.
    """
    def predict(frames: Sequence[np.ndarray], by: Segmenter = segmenter) -> list[Prediction]:
        return [Prediction(result.class_ids, np.asarray(result.confidence), frame.shape[:2])
                for frame, result in zip(frames, by.segment(frames))]

    examples = Examples(rng)
    policy = Corrected(predict, lambda frame: predict([frame], small)[0], lambda size: size,
                       CacheSettings('corrected', STEPS + 1), examples)
    for index in tqdm(range(len(data)), unit='drive', disable=None):
        other = data[int(rng.integers(len(data)))]
        for number, (image, examples.truth) in enumerate(drive(data[index], other, rng)):
            policy.predict([image], [str(index)], [number * FRAME_NS])
    policy.close()
    return np.concatenate(examples.rows)


def fit(rows: np.ndarray) -> GateWeights:
    """
    Fit the logistic model; classes count by the square root of how rare they are.

    :param rows: of `collect`.
    """
    _, sure, new, new_sure, truth = rows.T
    doubt = sure == 0
    inputs = torch.from_numpy(np.column_stack([
        np.ones(len(rows)), np.where(doubt, 0, log_odds()[sure]), log_odds()[new_sure], doubt]))
    wanted = torch.from_numpy((new == truth).astype(float))
    weight = torch.from_numpy(np.bincount(truth)[truth] ** -0.5)
    model = torch.zeros(inputs.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([model], max_iter=200, line_search_fn='strong_wolfe')

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        errors = torch.nn.functional.binary_cross_entropy_with_logits(
            inputs @ model, wanted, weight / weight.mean())
        errors.backward()  # type: ignore[no-untyped-call]
        return errors

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return GateWeights(*(round(value, 3) for value in model.tolist()))


def _parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(prog='python -m training.gate', description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('--checkpoint', default=default_checkpoint_path(), help='default: the packaged one')
    add('--dataset', default='camvid', help=f'one of {", ".join(DATASETS)} (default: camvid)')
    add('--root', default='data/camvid', help='folder of the data set (default: data/camvid)')
    add('--split', default='train', help='default: train')
    add('--seed', type=int, default=0, help='default: 0')
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = _parser().parse_args(arguments)
    try:
        segmenter = Segmenter(options.checkpoint)
        height = segmenter.checkpoint.preprocessing.height
        small = Segmenter(options.checkpoint, inference_height=max(height // 2, 1))
        data = make_dataset([{'dataset': options.dataset, 'root': options.root,
                              'split': options.split}])
        data.require(segmenter.labels, f'the checkpoint {options.checkpoint}')
        rows = collect(segmenter, small, data, np.random.default_rng(options.seed))
    except (ValueError, EngineError) as error:
        print(f'training.gate: {" ".join(str(error).split())}', file=sys.stderr)
        return 2
    print(fit(rows))
    return 0


if __name__ == '__main__':
    sys.exit(main())
