"""CamVid's layout in miniature, the synthetic frames, and what does not fit them."""
import cv2
import numpy as np
import pytest

from training.datasets import make_dataset
from training.datasets.folders import CamVid, Folders
from training.datasets.frames import DatasetError
from training.datasets.synthetic import SyntheticScenes

NAMES = ['0001TP_2.png', '0001TP_10.png', '0006R0_1.png']


@pytest.fixture
def root(tmp_path):
    """Return a CamVid of three pictures in two drives, 6x8 pixels each."""
    for index, name in enumerate(NAMES):
        write(tmp_path / 'train' / name, np.full((6, 8, 3), (10 * index, 20, 30), np.uint8))
        mask = np.full((6, 8), index, np.uint8)
        mask[0, 0], mask[0, 1] = 11, 10
        write(tmp_path / 'trainannot' / name, mask)
    return tmp_path


def write(path, picture):
    """Write a PNG, its folder made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), picture)


def test_items_are_picture_and_mask(root):
    """Pictures come as BGR, masks as ids with 11 turned into 255, in the order of names."""
    data = CamVid(root, 'train')
    assert len(data) == 3
    assert [path.name for path in data.images] == sorted(NAMES)
    image, mask = data[2]
    assert (image.shape, image.dtype) == ((6, 8, 3), np.uint8)
    assert image[3, 3].tolist() == [20, 20, 30]
    assert (mask.shape, mask.dtype) == ((6, 8), np.uint8)
    assert mask[0, :3].tolist() == [255, 10, 2]
    np.testing.assert_array_equal(data.mask(2), mask)


def test_drives_are_kept_and_left_out(root):
    """A drive can be chosen, or left out to judge by it."""
    assert len(CamVid(root, 'train', drives=['0001TP'])) == 2
    assert len(CamVid(root, 'train', leave_out=['0001TP'])) == 1
    with pytest.raises(DatasetError, match=r"no pictures .*drives \['0009'\]"):
        CamVid(root, 'train', drives=['0009'])


def test_missing_folder_is_named(root):
    """A split that is not there says where it was looked for."""
    with pytest.raises(DatasetError, match='no pictures .*val/'):
        CamVid(root, 'val')


def test_missing_mask_is_named(root):
    """A picture without its mask is found before training starts."""
    (root / 'trainannot' / NAMES[0]).unlink()
    with pytest.raises(DatasetError, match=f'1 pictures have no mask; first: .*{NAMES[0]}'):
        CamVid(root, 'train')


@pytest.mark.parametrize('mask, reason', [
    (np.zeros((5, 8), np.uint8), r'is \(5, 8\), its picture \(6, 8\)'),
    (np.full((6, 8), 12, np.uint8), r'id 12 is none of the 11 classes sky, .*, bicyclist '
                                     r'\(0..10\), nor unlabelled \(11 or 255\)'),
    (np.full((6, 8), 300, np.uint16), 'id 300 is none of'),
    (np.zeros((6, 8, 3), np.uint8), r'in one channel, found shape \(6, 8, 3\)'),
])
def test_masks_that_do_not_fit_are_named(root, mask, reason):
    """A mask of another size, with foreign ids or in colour is named with the reason."""
    write(root / 'trainannot' / NAMES[2], mask)
    with pytest.raises(DatasetError, match=reason) as caught:
        CamVid(root, 'train')[2]
    assert NAMES[2] in str(caught.value)


def test_masks_of_16_bits_are_read(root):
    """Some tools write ids as 16-bit PNG; they arrive as uint8."""
    mask = np.full((6, 8), 7, np.uint16)
    mask[0, 0], mask[0, 2] = 11, 255
    write(root / 'trainannot' / NAMES[2], mask)
    found = CamVid(root, 'train').mask(2)
    assert found.dtype == np.uint8
    assert found[0, :3].tolist() == [255, 7, 255]


@pytest.mark.parametrize('folder', ['train', 'trainannot'])
def test_broken_pictures_are_named(root, folder):
    """A file that is no picture is named."""
    (root / folder / NAMES[2]).write_bytes(b'not a picture')
    with pytest.raises(DatasetError, match=f'cannot read .*{folder}/{NAMES[2]}'):
        CamVid(root, 'train')[2]


@pytest.fixture
def own(root):
    """Return the same folder with a label space of 13 classes of its own."""
    lines = [f'- {{name: thing{index}, color: [{index}, 0, 0]}}' for index in range(13)]
    (root / 'labels.yaml').write_text('\n'.join(lines))
    mask = np.full((6, 8), 12, np.uint8)
    mask[0, :3] = 11, 30, 255
    write(root / 'trainannot' / NAMES[2], mask)
    return root


def test_own_label_spaces_may_have_more_classes_than_camvid(own):
    """The labels beside the pictures say what an id may be; 255 is always unlabelled."""
    data = Folders(own, 'train', unlabelled_id=30)
    assert data.labels.names == tuple(f'thing{index}' for index in range(13))
    assert data.mask(2)[0, :4].tolist() == [11, 255, 255, 12]
    with pytest.raises(DatasetError, match=r'id 30 is none of .* nor unlabelled \(255\)'):
        Folders(own, 'train').mask(2)


def test_labels_can_lie_elsewhere(own, tmp_path):
    """A path given is read in place of the folder's own file."""
    (tmp_path / 'two.yml').write_text('- {name: a, color: [0, 0, 1]}\n'
                                      '- {name: b, color: [0, 0, 2]}\n')
    data = Folders(own, 'train', labels=tmp_path / 'two.yml', unlabelled_id=11)
    assert data.labels.names == ('a', 'b')
    with pytest.raises(DatasetError, match='id 30 is none of the 2 classes a, b'):
        data.mask(2)


def test_unlabelled_must_not_be_a_class(own):
    """An id cannot mean both."""
    with pytest.raises(DatasetError, match="unlabelled_id 11 is the class 'thing11'"):
        Folders(own, 'train', unlabelled_id=11)


def test_folders_without_labels_say_where_they_belong(root):
    """The file that is missing is named."""
    with pytest.raises(ValueError, match="no label space '.*labels.yaml'"):
        Folders(root, 'train')


def test_other_classes_are_refused(own, labels):
    """Ids are scored by position, so the names must agree, in order."""
    data = make_dataset([{'dataset': 'synthetic', 'samples': 1},
                         {'dataset': 'folders', 'root': own, 'split': 'train'}])
    with pytest.raises(DatasetError, match='Folders has the classes thing0, .*; mine has sky'):
        data.require(labels, 'mine')
    make_dataset([{'dataset': 'synthetic', 'samples': 1},
                  {'dataset': 'camvid', 'root': own, 'split': 'train'}]).require(labels, 'mine')


def test_real_camvid(camvid_root):
    """CamVid itself has its 101 pictures of 480x360 with ids of the label space."""
    data = CamVid(camvid_root, 'val')
    assert len(data) == 101
    image, mask = data[0]
    assert image.shape == (360, 480, 3)
    assert set(np.unique(mask)) <= {*range(11), 255}


def test_synthetic_frames_follow_from_their_seed():
    """The same arguments give the same frames; index and seed each change them."""
    data = SyntheticScenes(6, seed=5, height=45, width=61)
    assert len(data) == 6
    image, mask = data[5]
    assert (image.shape, mask.shape) == ((45, 61, 3), (45, 61))
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {*range(11), 255}
    again = SyntheticScenes(6, seed=5, height=45, width=61)
    np.testing.assert_array_equal(again[5][0], image)
    np.testing.assert_array_equal(again.mask(5), mask)
    assert (data[0][0] != data[1][0]).any()
    assert (data[0][0] != SyntheticScenes(6, seed=6, height=45, width=61)[0][0]).any()


def test_data_sets_join_in_the_order_of_the_recipe(root):
    """The items of the first entry come first."""
    joined = make_dataset([{'dataset': 'camvid', 'root': root, 'split': 'train'},
                           {'dataset': 'synthetic', 'samples': 2, 'height': 40, 'width': 50}])
    assert len(joined) == 5
    assert [joined[index][1].shape for index in (2, 3)] == [(6, 8), (40, 50)]
    for index, mask in enumerate(joined.masks()):
        np.testing.assert_array_equal(mask, joined[index][1])
    assert index == 4


@pytest.mark.parametrize('entry, reason', [
    ({'dataset': 'mars'}, "unknown dataset 'mars'; known: camvid, folders, synthetic"),
    ({}, 'unknown dataset None; known: camvid, folders, synthetic'),
    ({'dataset': 'camvid', 'root': '.'}, 'dataset camvid: .*split'),
    ({'dataset': 'synthetic', 'samples': 1, 'rain': True}, 'dataset synthetic: .*rain'),
    ({'dataset': 'synthetic', 'samples': 0},
     '^dataset synthetic: samples must be a whole number from 1, not 0'),
    ({'dataset': 'cityscapes', 'root': '.', 'splits': ['test']}, '^dataset cityscapes: splits'),
    ({'dataset': 'synthetic', 'samples': 1, 'height': 'tall'}, "height .* not 'tall'"),
])
def test_entries_that_do_not_fit_are_named(entry, reason):
    """Unknown names list the known ones; arguments that do not fit are named."""
    with pytest.raises(DatasetError, match=reason):
        make_dataset([entry])
