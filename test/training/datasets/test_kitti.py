"""KITTI Road and KITTI semantics in miniature, in their own layouts."""
import numpy as np
import pytest

from training.datasets.frames import DatasetError
from training.datasets.kitti import KittiRoad, KittiSemantics

RED, MAGENTA, BLACK = (0, 0, 255), (255, 0, 255), (0, 0, 0)  # BGR
TRUTH = np.array([[RED, MAGENTA, BLACK], [MAGENTA, MAGENTA, RED]], np.uint8)


@pytest.fixture
def road(tmp_path, write):
    """Return a KITTI Road of one picture of each kind, and the lane of one."""
    for kind in ('um', 'umm', 'uu'):
        write(f'training/image_2/{kind}_000003.png', np.full((2, 3, 3), 7, np.uint8))
        write(f'training/gt_image_2/{kind}_road_000003.png', TRUTH)
    write('training/gt_image_2/um_lane_000003.png', TRUTH[:, ::-1])
    write('testing/image_2/um_000003.png', np.full((2, 3, 3), 9, np.uint8))
    return tmp_path


def test_road_is_what_is_magenta(road):
    """Red is no road, black does not count; lanes are left alone."""
    data = KittiRoad(road)
    assert [path.name for path in data.masks] == [
        'um_road_000003.png', 'umm_road_000003.png', 'uu_road_000003.png']
    image, mask = data[1]
    assert mask.tolist() == [[0, 1, 255], [1, 1, 0]]
    assert (image == 7).all()
    assert data.labels.names == ('background', 'road')


def test_the_lane_can_be_asked_for(road):
    """Only pictures of the kind `um` have it."""
    data = KittiRoad(road, truth='lane')
    assert [path.name for path in data.images] == ['um_000003.png']
    assert data.mask(0).tolist() == [[255, 1, 0], [0, 1, 1]]
    with pytest.raises(DatasetError, match="truth must be road or lane, not 'curb'"):
        KittiRoad(road, truth='curb')


def test_parts_leave_pictures_to_validate_on(road):
    """There is no public truth but that of training."""
    parts = [KittiRoad(road, part=part, shares=[2, 1, 0]) for part in ('train', 'val')]
    assert [len(part) for part in parts] == [2, 1]
    assert not {*parts[0].images} & {*parts[1].images}
    with pytest.raises(DatasetError, match='no pictures .*image_2'):
        KittiRoad(road, part='test', shares=[2, 1, 0])


def test_what_does_not_fit_road_is_named(road, write):
    """Another colour, a missing truth, a missing folder."""
    path = write('training/gt_image_2/um_road_000003.png', np.full((2, 3, 3), 128, np.uint8))
    with pytest.raises(DatasetError, match=rf'{path}: the colour \[128, 128, 128\] \(RGB\) '
                                           'stands for none of background, road'):
        KittiRoad(road).mask(0)
    path.unlink()
    with pytest.raises(DatasetError, match=f'no mask; first: {path}'):
        KittiRoad(road)
    with pytest.raises(DatasetError, match=r'no pictures .*testing/training/image_2/u\*_\*.png'):
        KittiRoad(road / 'testing')


def test_semantics_has_the_ids_of_cityscapes(tmp_path, write):
    """labelIds become the 19 classes, or others."""
    for index in range(2):
        write(f'training/image_2/00000{index}_10.png', np.zeros((1, 4, 3), np.uint8))
        write(f'training/semantic/00000{index}_10.png', np.array([[0, 7, 26, 33]], np.uint8))
    data = KittiSemantics(tmp_path)
    assert len(data) == 2
    assert data.mask(1).tolist() == [[255, 0, 13, 18]]
    data = KittiSemantics(tmp_path, labels='road_car', rest='background', part='train',
                          shares=[1, 1, 0])
    assert len(data) == 1
    assert data[0][1].tolist() == [[0, 1, 2, 0]]
    with pytest.raises(DatasetError, match=r'no pictures .*nowhere/training/image_2/\*.png'):
        KittiSemantics(tmp_path / 'nowhere')
