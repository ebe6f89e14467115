"""Masks on the ground: by hand, through a lens, and against the generated street's own ground."""
import math

import cv2
import numpy as np
import pytest

from roadseg_ros.ground import (
    camera_model,
    CameraModel,
    CameraPose,
    cell_pixels,
    GroundError,
    GroundGrid,
    on_ground,
)
from roadseg_ros.scenes import Drive
from roadseg_ros.scenes.brush import PAVEMENT, ROAD
from roadseg_ros.scenes.surfaces import ROAD_HALF_M

SIZE = (360, 480)
GRID = GroundGrid(0.1, 30.0, 20.0)
LENS = (-0.3, 0.1, 0.002, -0.001, 0.0)  # a wide one: the corners move by 20 pixels


def camera(distortion=()):
    return CameraModel(SIZE, (396.0, 396.0), (240.0, 165.5), distortion)


def rectangle_seen(model, height_m, pitch, near, far, right, left):
    """Paint a rectangle of the ground as class 1, by trigonometry alone: angles from the axis."""
    rows, columns = np.indices(SIZE)
    down = np.arctan2(rows - model.center[1], model.focal[1]) + pitch
    with np.errstate(divide='ignore', invalid='ignore'):
        x = np.where(down > 0, height_m / np.tan(down), np.inf)
        depth = x * math.cos(pitch) + height_m * math.sin(pitch)
        y = -(columns - model.center[0]) / model.focal[0] * depth
    return ((x > near) & (x < far) & (y > right) & (y < left)).astype(np.uint8)


@pytest.mark.parametrize('pitch', [-0.05, 0.0, 0.1, 0.3])
@pytest.mark.parametrize('height_m', [1.2, 2.5])
def test_a_rectangle_lies_where_it_was_painted(height_m, pitch):
    """Cells within the rectangle by half a pixel's ground or more hold it, those outside not."""
    model = camera()
    mask = rectangle_seen(model, height_m, pitch, 6.0, 14.0, -1.0, 3.0)
    cells = on_ground(mask, GRID, model, CameraPose.above_ground(height_m, pitch))
    x, y, _ = np.moveaxis(GRID.centers(), 2, 0)
    depth = np.hypot(x, height_m)
    across, along = 0.5 * depth / 396, 0.5 * depth ** 2 / 396 / height_m
    distance = np.minimum(np.minimum((x - 6) / along, (14 - x) / along),
                          np.minimum((y + 1) / across, (3 - y) / across))
    assert (cells[distance > 1.5] == 1).all() and (distance > 1.5).sum() > 2500
    assert not (cells[distance < -1.5] == 1).any()


def test_what_the_frame_does_not_show_is_unlabelled():
    model, mask = camera(), np.zeros(SIZE, np.uint8)
    x, y, _ = np.moveaxis(GRID.centers(), 2, 0)
    with np.errstate(divide='ignore'):
        rows, columns = 165.5 + 396 * 1.4 / x, 240 - 396 * y / x
    shown = (rows < 359.5) & (columns > -0.5) & (columns < 479.5)
    cells = on_ground(mask, GRID, model, CameraPose.above_ground(1.4, 0.0))
    assert np.array_equal(cells == 0, shown) and set(np.unique(cells)) == {0, 255}
    behind = CameraPose.above_ground(1.4, math.pi)  # looks back, upside down
    assert (on_ground(mask, GRID, model, behind) == 255).all()


def test_rows_run_to_the_left_and_columns_ahead():
    grid = GroundGrid(0.5, 4.0, 3.0)
    assert grid.shape == (6, 8)
    assert grid.centers()[0, 0].tolist() == [0.25, -1.25, 0.0]
    assert grid.centers()[5, 7].tolist() == [3.75, 1.25, 0.0]


@pytest.mark.parametrize('pitch', [0.0, 0.2])
def test_a_quaternion_says_the_same_as_height_and_pitch(pitch):
    """The optical frame's turn, then a pitch about the axis to the left."""
    half = pitch / 2
    x, y, z, w = -0.5, 0.5, -0.5, 0.5
    s, c = math.sin(half), math.cos(half)
    turned = (c * x + s * z, c * y + s * w, c * z - s * x, c * w - s * y)
    pose = CameraPose.from_quaternion(turned, (0.0, 0.0, 1.4))
    expected = CameraPose.above_ground(1.4, pitch)
    assert pose.rotation == pytest.approx(expected.rotation, abs=1e-12)
    assert pose.position == expected.position


def test_a_camera_ahead_of_the_origin_sees_the_ground_further_ahead():
    model, mask = camera(), rectangle_seen(camera(), 1.4, 0.0, 6.0, 14.0, -1.0, 3.0)
    pose = CameraPose.above_ground(1.4, 0.0)
    moved = CameraPose(pose.rotation, (2.0, 0.5, 1.4))
    here, there = (on_ground(mask, GRID, model, each) for each in (pose, moved))
    assert np.array_equal(here[:-5, :-20], there[5:, 20:])


def through(lens):
    """Return for each pixel of a lens's frame the column and row of the ideal one's, float32."""
    ideal = camera()
    rows, columns = np.indices(SIZE)
    pixels = np.dstack([columns, rows]).reshape(-1, 1, 2).astype(np.float64)
    matrix = np.array([[396.0, 0, 240], [0, 396.0, 165.5], [0, 0, 1]])
    rays = cv2.undistortPoints(pixels, matrix, np.array(lens)).reshape(*SIZE, 2)
    return (rays * ideal.focal + ideal.center).astype(np.float32)


def test_a_lens_is_undone():
    """A mask bent by a lens lies on the ground as the straight one; not honoured, it would not."""
    straight = rectangle_seen(camera(), 1.4, 0.1, 3.0, 14.0, -2.0, 5.0)
    bent = cv2.remap(straight, through(LENS), None, cv2.INTER_NEAREST)
    pose = CameraPose.above_ground(1.4, 0.1)
    true, undone, ignored = (on_ground(mask, GRID, model, pose) == 1 for mask, model in (
        (straight, camera()), (bent, camera(LENS)), (bent, camera())))

    def iou(cells):
        return (cells & true).sum() / (cells | true).sum()

    assert iou(undone) > 0.98 and iou(ignored) < 0.95


def test_rays_beyond_the_lens_do_not_fold_back_into_the_frame():
    """This polynomial turns at 1 / sqrt(3 * 0.5) = 0.816 of the focal length."""
    model = camera((-0.5, 0.0, 0.0, 0.0, 0.0))
    rays = np.array([[0.0, 0.0], [0.5, 0.1], [0.81, 0.0], [0.83, 0.0], [1.3, 0.0], [0.0, 1.4]])
    columns = model.project(rays)[:, 0]
    assert (columns >= 0).tolist() == [True, True, True, False, False, False]


def truth_of(drive, index, grid):
    """Return which cells are road in the street's own plan."""
    view = drive._camera(index / 15)
    x, y, _ = np.moveaxis(grid.centers(), 2, 0)
    right = view.x - y + view.slope * x + 0.5 * view.curve * x * x
    return np.abs(right) < ROAD_HALF_M


def street(size, seed, index):
    """Return true ids on the ground, and the cells that are road, of a frame of a street."""
    drive = Drive(seed, *size)
    class_ids = drive.frame(index)[1]
    focal, horizon = 1.1 * size[0], round(0.46 * size[0])
    model = CameraModel(size, (focal, focal), (size[1] / 2, horizon - 0.5))
    return class_ids, model, truth_of(drive, index, GRID)


def edge_errors(road, truth, seen):
    """Return metres by which road and truth differ at each edge whose half metre is in sight."""
    rows, columns = np.nonzero(truth[1:] != truth[:-1])
    return [abs(int(road[part, column].sum()) - int(truth[part, column].sum())) * 0.1
            for row, column in zip(rows, columns)
            for part in [slice(max(row - 4, 0), row + 6)]
            if row >= 4 and row + 6 <= len(road) and seen[part, column].all()]


@pytest.mark.parametrize('size, least_iou', [(SIZE, 0.99), ((720, 1280), 0.995)])
def test_the_true_mask_gives_the_streets_own_road(size, least_iou):
    """Of the ground in sight (what stands on it hides the rest); a cell is 0.1 m wide."""
    union = both = 0
    errors = []
    for seed in range(4):
        for index in (0, 60, 150):
            class_ids, model, truth = street(size, seed, index)
            cells = on_ground(class_ids, GRID, model, CameraPose.above_ground(1.4, 0.0))
            seen, road = np.isin(cells, (ROAD, PAVEMENT)), cells == ROAD
            both += (road & truth & seen).sum()
            union += ((road | truth) & seen).sum()
            errors += edge_errors(road, truth, seen)
    assert union > 200_000 and both / union > least_iou
    assert len(errors) > 1000 and np.mean(errors) < 0.05
    assert np.percentile(errors, 95) < 0.11 and max(errors) < 0.21


def test_a_pitched_camera_gives_the_same_ground():
    """The street's frame, turned as a camera that looks 0.1 rad further down would see it."""
    class_ids, model, truth = street(SIZE, 1, 60)
    matrix = np.array([[396.0, 0, 240], [0, 396.0, 165.5], [0, 0, 1]])
    turn = cv2.Rodrigues(np.array([0.1, 0.0, 0.0]))[0]
    turned = cv2.warpPerspective(class_ids, matrix @ turn @ np.linalg.inv(matrix), SIZE[::-1],
                                 flags=cv2.INTER_NEAREST, borderValue=255)
    cells = on_ground(turned, GRID, model, CameraPose.above_ground(1.4, 0.1))
    seen, road = np.isin(cells, (ROAD, PAVEMENT)), cells == ROAD
    assert seen.mean() > 0.3
    assert (road & truth & seen).sum() / ((road | truth) & seen).sum() > 0.97
    unturned = on_ground(turned, GRID, model, CameraPose.above_ground(1.4, 0.0)) == ROAD
    assert (unturned & truth).sum() / (unturned | truth).sum() < 0.9


def test_the_map_is_made_once_and_cannot_be_written_to():
    pose = CameraPose.above_ground(1.4, 0.0)
    index = cell_pixels(GRID, camera(), pose)
    assert cell_pixels(GRID, camera(), CameraPose.above_ground(1.4, 0.0)) is index
    assert cell_pixels(GRID, camera(), CameraPose.above_ground(1.4, 0.01)) is not index
    assert not index.flags.writeable


K = (800.0, 0, 640.0, 0, 810.0, 360.0, 0, 0, 1)


def test_a_frame_of_half_the_calibrated_size():
    model = camera_model('plumb_bob', (0.0,) * 5, K, (0, 0, 1280, 720), (360, 640))
    assert model == CameraModel((360, 640), (400.0, 405.0), (319.75, 179.75))


def test_a_lens_without_coefficients_bends_nothing():
    model = camera_model('', (0.0,) * 5, K, (0, 0, 1280, 720), (720, 1280))
    assert model == CameraModel((720, 1280), (800.0, 810.0), (640.0, 360.0))


def test_a_window_of_the_calibrated_picture():
    model = camera_model('plumb_bob', LENS, K, (100, 50, 640, 480), (480, 640))
    assert model == CameraModel((480, 640), (800.0, 810.0), (540.0, 310.0), LENS)


def test_the_projection_of_a_rectified_picture():
    projection = (700.0, 0, 640.0, 0, 0, 710.0, 350.0, 0, 0, 0, 1, 0)
    model = camera_model('', (), projection, (0, 0, 1280, 720), (720, 1280))
    assert model == CameraModel((720, 1280), (700.0, 710.0), (640.0, 350.0))


@pytest.mark.parametrize('arguments, words', [
    (('equidistant', (0.1,) * 4, K, (0, 0, 9, 9), (9, 9)),
     "the distortion 'equidistant' with 4 coefficients; supported: plumb_bob, rational_poly"),
    (('plumb_bob', (0.1,) * 3, K, (0, 0, 9, 9), (9, 9)), "'plumb_bob' with 3 coefficients"),
    (('plumb_bob', (), (0.0,) * 9, (0, 0, 9, 9), (9, 9)), 'the camera is not calibrated'),
    (('plumb_bob', (), (math.nan,) * 9, (0, 0, 9, 9), (9, 9)), 'the camera is not calibrated'),
    (('plumb_bob', (), K, (0, 0, 0, 0), (9, 9)), 'the camera is not calibrated'),
])
def test_cameras_without_a_ground(arguments, words):
    with pytest.raises(GroundError, match=words):
        camera_model(*arguments)


@pytest.mark.parametrize('sides', [(0.01, 200.0, 200.0), (5.0, 2.0, 20.0)])
def test_grids_of_too_many_cells_or_none(sides):
    with pytest.raises(GroundError, match='supported: 1 to 1000000'):
        GroundGrid(*sides)
