"""Class groups: what the packaged ones cover, and what is refused."""
import numpy as np
import pytest

from roadseg_ros.groups import ClassGroups, ClassGroupsError, GROUPS, load_class_groups
from roadseg_ros.labels import LabelSpace, load_label_space, UNLABELLED
from roadseg_ros.share import share_file

EMPTY = {group: [] for group in GROUPS}
SPACES = sorted(path.stem for path in share_file('config/label_spaces').glob('*.yaml'))


@pytest.mark.parametrize('space', SPACES)
def test_packaged_groups_hold_every_class_of_the_packaged_label_spaces(space):
    groups = load_class_groups()
    assert [name for name in load_label_space(space).names if name not in groups.group_of] == []


def test_packaged_groups_hold_no_name_that_no_label_space_has():
    known = {name for space in SPACES for name in load_label_space(space).names}
    assert set(load_class_groups().group_of) - known == set()


def test_what_camvids_classes_are():
    groups = load_class_groups()
    assert {name: groups.group_of[name] for name in load_label_space('camvid').names} == {
        'sky': 'sky', 'building': 'obstacle', 'pole': 'obstacle', 'road': 'drivable',
        'pavement': 'sidewalk', 'tree': 'obstacle', 'sign_symbol': 'obstacle',
        'fence': 'obstacle', 'car': 'dynamic', 'pedestrian': 'dynamic', 'bicyclist': 'dynamic'}


def test_table_by_id():
    labels = LabelSpace(('road', 'novelty', 'sky', 'car'), ((0, 0, 0),) * 4)
    table = load_class_groups().table(labels, {'drivable': 1, 'sky': 2}, 3, 9)
    assert (table.shape, table.dtype) == ((256,), np.uint8)
    assert table[:4].tolist() == [1, 3, 2, 3]
    assert set(table[4:].tolist()) == {9} and table[UNLABELLED] == 9


@pytest.mark.parametrize('space, lines', [
    ('camvid', []), ('cityscapes', []), ('kitti_road', []),
    ('car', ['class_groups: no class is drivable: drivable and road_grid show no road'])])
def test_gaps_of_packaged_label_spaces(space, lines):
    assert load_class_groups().gaps(load_label_space(space)) == lines


def test_gaps_name_the_classes():
    labels = LabelSpace(('road', 'ground', 'kerb'), ((0, 0, 0),) * 3)
    assert load_class_groups().gaps(labels) == [
        'class_groups: no group holds ground, kerb: taken for obstacles']


def test_a_file_of_ones_own(tmp_path):
    path = tmp_path / 'own.yaml'
    path.write_text('{drivable: [ground], sidewalk: [], obstacle: [], dynamic: [], sky: []}')
    assert load_class_groups(path) == load_class_groups(str(path)) == ClassGroups(
        {'ground': 'drivable'})


@pytest.mark.parametrize('content, words', [
    ([], 'lists of class names by group'),
    ({**EMPTY, 'drivabel': []}, 'unknown group drivabel; the groups are drivable, sidewalk, obst'),
    ({'drivable': ['road']}, 'no group sidewalk, obstacle, dynamic, sky; the groups are'),
    ({**EMPTY, 'drivable': 'road'}, 'group drivable must be a list of class names'),
    ({**EMPTY, 'drivable': [3]}, 'group drivable must be a list of class names'),
    ({**EMPTY, 'drivable': ['road'], 'sky': ['road']},
     "class 'road' is listed twice: in drivable and in sky"),
])
def test_contradictions_are_refused(content, words):
    with pytest.raises(ClassGroupsError, match=words):
        ClassGroups.from_yaml(content)


@pytest.mark.parametrize('content', [b'', b'- [unclosed', b'{drivable: [\xff]}', b'sky: []'])
def test_bad_files_are_named_in_one_line(tmp_path, content):
    path = tmp_path / 'own.yaml'
    path.write_bytes(content)
    with pytest.raises(ClassGroupsError) as caught:
        load_class_groups(path)
    assert str(caught.value).startswith(f'class_groups: {path}: ')
    assert '\n' not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ClassGroupsError, match=r'cannot read .*/none.yaml: No such file'):
        load_class_groups(tmp_path / 'none.yaml')
