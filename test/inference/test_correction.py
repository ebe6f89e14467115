"""A half-size look at the frames between keys: what is chosen, from what, and when."""
import numpy as np
import pytest

from roadseg_ros.inference.correction import Corrected, Gate, GateWeights, log_odds
from roadseg_ros.inference.prediction import Prediction
from roadseg_ros.inference.refresh import CacheSettings
from roadseg_ros.inference.segmenter import Segmenter

FRAME_NS = 10 ** 9 // 15
SIZE = (48, 64)


def labels(ids, confidence):
    """Return a row of labels."""
    return np.array([ids], np.uint8), np.array([confidence], np.uint8)


def test_log_odds():
    """Half is zero, both ends are finite, and it rises."""
    odds = log_odds()
    assert odds.shape == (256,) and np.isfinite(odds).all()
    assert abs(odds[127]) < 0.01
    assert (np.diff(odds) >= 0).all()


def test_the_likelier_label_wins():
    """Where labels differ the model decides, where they agree the higher confidence stays."""
    gate = Gate(GateWeights(bias=0, carried=-1, seen=1, doubt=0))
    ids, confidence = gate.choose(labels([1, 1, 1, 2], [200, 100, 50, 90]),
                                  labels([3, 3, 1, 2], [150, 150, 220, 80]))
    np.testing.assert_array_equal(ids, [[1, 3, 1, 2]])
    np.testing.assert_array_equal(confidence, [[200, 150, 220, 90]])


def test_what_comes_from_outside_is_seen():
    """Where nothing is carried, however unlikely, the new label is taken."""
    ids, confidence = Gate(GateWeights(-50, 0, 0, 0)).choose(
        labels([255, 1], [0, 0]), labels([4, 4], [30, 30]))
    np.testing.assert_array_equal(ids, [[4, 1]])
    np.testing.assert_array_equal(confidence, [[30, 0]])


def test_doubtful_flow_has_a_weight_of_its_own():
    """Confidence zero says that the flow is in doubt, not that the label is wrong."""
    gate = Gate(GateWeights(bias=0, carried=-1, seen=0, doubt=-2))
    ids, _ = gate.choose(labels([1, 1], [0, 1]), labels([3, 3], [99, 99]))
    np.testing.assert_array_equal(ids, [[1, 3]])


def test_the_fitted_gate_follows_confidence():
    """A sure label beats an unsure one, whichever it is."""
    ids, _ = Gate().choose(labels([1, 1], [250, 60]), labels([3, 3], [60, 250]))
    np.testing.assert_array_equal(ids, [[1, 3]])


def test_inputs_stay_as_they_are():
    """What is carried belongs to the cache."""
    carried, seen = labels([1], [60]), labels([3], [250])
    Gate().choose(carried, seen)
    assert (carried[0][0, 0], carried[1][0, 0], seen[0][0, 0]) == (1, 60, 3)


class Chooser:
    """A gate that takes what is seen in the left half, and notes its arguments."""

    def __init__(self):
        self.calls = []

    def choose(self, carried, seen):
        """Note and choose."""
        self.calls.append((carried, seen))
        ids = carried[0].copy()
        ids[:, :SIZE[1] // 2] = seen[0][:, :SIZE[1] // 2]
        return ids, seen[1]


def test_frames_between_keys_are_looked_at(picture):
    """Keys are the network's own; between them the half-size look meets the carried mask."""
    full = Prediction(np.full(SIZE, 2, np.uint8), np.full(SIZE, 200, np.uint8), SIZE)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    look = Prediction(np.full(half, 5, np.uint8), np.full(half, 90, np.uint8), SIZE,
                      timing_ms={'network': 7.0})
    gate = Chooser()
    policy = Corrected(lambda frames: [full for _ in frames], lambda frame: look,
                       lambda size: size, CacheSettings('corrected', 3), gate)
    results = [policy.predict([picture], ['front'], [n * FRAME_NS])[0] for n in range(4)]
    assert [result.made for result in results] == ['full', 'warped', 'warped', 'full']
    assert len(gate.calls) == 2
    carried, seen = gate.calls[1]
    assert (carried[0] == 2).all() and seen[0].shape == SIZE and (seen[1] == 90).all()
    assert (results[1].class_ids == np.repeat([5, 2], SIZE[1] // 2)).all()
    assert set(results[1].timing_ms) == {'warp', 'network', 'gate'}
    assert (results[3].class_ids == 2).all()


def test_the_segmenter_looks_at_half_the_size(checkpoint, picture, monkeypatch):
    """The same weights run on a picture of half the sides, padded to the stride."""
    segmenter = Segmenter(checkpoint, device='cpu', engine='torch',
                          cache=CacheSettings('corrected', 2))
    shapes = []
    run = segmenter._engine.run
    monkeypatch.setattr(segmenter._engine, 'run',
                        lambda batch: shapes.append(batch.shape) or run(batch))
    results = [segmenter.segment([picture], ['front'], [n * FRAME_NS])[0] for n in range(2)]
    assert shapes == [(1, 48, 64, 3), (1, 24, 32, 3)]
    assert results[1].class_ids.shape == picture.shape[:2]
    segmenter.warm_up()
    assert shapes[2:] == [(1, 48, 64, 3), (1, 24, 32, 3)] * 2


def test_not_in_the_background():
    """The look would wait for the key: one line says so and what to use."""
    with pytest.raises(ValueError, match='corrected looks at each frame.*use policy warp'):
        CacheSettings('corrected', background=True)
