"""Which frames of a drive are worth a label: those the network doubts, no two alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

THUMBNAIL = (8, 6)  # width, height
POOL = 16  # candidates for each frame that is wanted, and at least LEAST of them
LEAST = 256


@dataclass(frozen=True)
class Candidate:
    """
    What is kept of a frame until the choice is made.

    :param index: of the frame in its source.
    :param doubt: mean of 1 - confidence, 0 to 1.
    :param descriptor: (D,) float32; frames that look alike and hold the same classes are near.
    """

    index: int
    doubt: float
    descriptor: np.ndarray


def describe(index: int, picture: np.ndarray, class_ids: np.ndarray, confidence: np.ndarray,
             classes: int) -> Candidate:
    """
    Return what the choice needs to know of a frame.

    :param index: of the frame in its source.
    :param picture: (H, W, 3) uint8 BGR.
    :param class_ids: (H, W) uint8.
    :param confidence: (H, W) uint8, 255 = certain.
    :param classes: how many there are.
    """
    thumbnail = cv2.resize(picture, THUMBNAIL, interpolation=cv2.INTER_AREA)
    shares = np.bincount(class_ids.ravel(), minlength=256)[:classes] / class_ids.size
    # each half is a mean over its parts: the picture counts as much as what is in it; roots,
    # so that a small thing that comes into view is seen beside the road
    descriptor = np.concatenate([
        thumbnail.ravel() / (255 * np.sqrt(thumbnail.size)), np.sqrt(shares) / np.sqrt(2)])
    return Candidate(index, 1 - float(confidence.mean()) / 255, descriptor.astype(np.float32))


class Pool:
    """
    Candidates of one camera, evenly over its time and bounded in number.

    Of each stretch of frames the one with the most doubt is kept; when there are too many
    stretches, neighbours become one.

    :param capacity: candidates to keep at most; even.
    """

    def __init__(self, capacity: int) -> None:
        self.candidates: list[Candidate] = []
        self._capacity, self._stretch, self._offered = capacity, 1, 0

    def offer(self, candidate: Candidate) -> None:
        """Take a frame into account; frames come in order."""
        if self._offered % self._stretch:
            self.candidates[-1] = _more_doubtful(self.candidates[-1], candidate)
        else:
            if len(self.candidates) == self._capacity:
                self._join()
            self.candidates.append(candidate)
        self._offered += 1

    def _join(self) -> None:
        """Make one stretch of each two."""
        self.candidates = [_more_doubtful(*two) for two in zip(self.candidates[::2],
                                                               self.candidates[1::2])]
        self._stretch *= 2


class Selection:
    """
    A choice among the frames of one or more cameras; memory does not grow with the drive.

    :param count: frames wanted.
    """

    def __init__(self, count: int) -> None:
        self._count, self._pools = count, dict[str, Pool]()

    def offer(self, stream: str, candidate: Candidate) -> None:
        """
        Take a frame into account.

        :param stream: the camera; its frames come in order.
        :param candidate: of `describe`.
        """
        pool = self._pools.setdefault(stream, Pool(max(POOL * self._count, LEAST)))
        pool.offer(candidate)

    def chosen(self) -> list[Candidate]:
        """Return the frames, in their order; fewer than wanted where there are no more."""
        return choose([candidate for pool in self._pools.values()
                       for candidate in pool.candidates], self._count)


def choose(candidates: Sequence[Candidate], count: int) -> list[Candidate]:
    """
    Choose frames one after the other: the one with most doubt, then those farthest from the rest.

    Distance counts by the frame's doubt, so that of two as new the less certain one is taken
    (greedy farthest points, as in core-set selection: Sener and Savarese, 2018).

    :param candidates: to choose from.
    :param count: how many, at most.
    :return: in the order of their index.
    """
    if not candidates:
        return []
    descriptors = np.stack([candidate.descriptor for candidate in candidates])
    doubts = np.array([candidate.doubt for candidate in candidates])
    taken = [int(doubts.argmax())]
    distances = np.full(len(candidates), np.inf)
    while len(taken) < min(count, len(candidates)):
        newest = np.linalg.norm(descriptors - descriptors[taken[-1]], axis=1)
        distances = np.minimum(distances, newest)
        # a frame like another still goes before none
        worth = (distances + 1e-6) * (doubts + 1e-6)
        worth[taken] = -1
        taken.append(int(worth.argmax()))
    return sorted((candidates[index] for index in taken), key=lambda candidate: candidate.index)


def _more_doubtful(one: Candidate, other: Candidate) -> Candidate:
    """Return the candidate with more doubt, the first of equals."""
    return other if other.doubt > one.doubt else one
