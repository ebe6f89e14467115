"""Label spaces: what they hold and what they refuse."""
import numpy as np
import pytest

from roadseg_ros.labels import LabelSpace, LabelSpaceError, load_label_space, UNLABELLED

GREY, RED = (128, 128, 128), (255, 0, 0)


def test_camvid_has_its_classes_in_id_order():
    """The packaged label space lists CamVid's eleven classes in the order of their ids."""
    labels = load_label_space('camvid')
    assert labels.names == ('sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign_symbol',
                            'fence', 'car', 'pedestrian', 'bicyclist')
    assert len(labels) == len(labels.colors) == 11
    assert labels.colors[3] == (128, 64, 128)


def test_color_table_is_rgb_by_id_and_black_elsewhere():
    """Row i is the colour of class i; ids without a class, 255 among them, are black."""
    table = LabelSpace(('sky', 'road'), (GREY, RED)).color_table
    assert (table.shape, table.dtype) == ((256, 3), np.uint8)
    assert table[:2].tolist() == [list(GREY), list(RED)]
    assert not table[2:].any()
    assert not table[UNLABELLED].any()


def test_json_and_yaml_round_trip(tmp_path):
    """What `to_json` gives comes back equal, also through a YAML file."""
    labels = LabelSpace(('sky', 'road'), (GREY, RED))
    assert LabelSpace.from_json(labels.to_json()) == labels
    path = tmp_path / 'own.yaml'
    path.write_text('- {name: sky, color: [128, 128, 128]}\n- {name: road, color: [255, 0, 0]}\n')
    assert load_label_space(path) == labels
    assert load_label_space(str(path)) == labels


@pytest.mark.parametrize('names, colors, reason', [
    ((), (), r'1 to 255 classes .* this one 0'),
    (tuple(map(str, range(256))), (GREY,) * 256, r'1 to 255 classes .* this one 256'),
    (('sky', ''), (GREY, RED), 'non-empty text'),
    (('sky', 3), (GREY, RED), 'non-empty text'),
    (('sky', 'sky'), (GREY, RED), r"unique, these are not: \['sky'\]"),
    (('sky', 'road'), (GREY,), '2 classes but 1 colours'),
    (('sky',), ((0, 0, 256),), r"colour of 'sky' must be three integers in 0..255"),
    (('sky',), ((0, 0),), "colour of 'sky'"),
    (('sky',), ((0.5, 0, 0),), "colour of 'sky'"),
])
def test_contradictions_are_refused(names, colors, reason):
    """A label space that no 8-bit mask can carry says why."""
    with pytest.raises(LabelSpaceError, match=reason):
        LabelSpace(names, colors)


def test_255_classes_are_the_most():
    """Ids 0 to 254 are classes, 255 stays unlabelled."""
    assert len(LabelSpace(tuple(map(str, range(255))), (GREY,) * 255)) == 255


def test_unknown_name_lists_the_known_ones():
    """A name without a file says which names there are."""
    with pytest.raises(LabelSpaceError, match=r"no label space 'kitti'.*one of .*camvid"):
        load_label_space('kitti')


@pytest.mark.parametrize('content, reason', [
    (b'name: sky', 'list of {name, color}'),
    (b'- {name: sky}', "every class needs a name and a color .*'color'"),
    (b'- sky', 'every class needs a name and a color'),
    (b'- {name: sky, color: 7}', 'every class needs a name and a color'),
    (b'- [unclosed', 'own.yaml'),
    (b'- {name: \xff}', 'own.yaml'),
    (b'', 'list of {name, color}'),
])
def test_bad_files_are_named(tmp_path, content, reason):
    """A file that is no label space is named with what is wrong."""
    path = tmp_path / 'own.yaml'
    path.write_bytes(content)
    with pytest.raises(LabelSpaceError, match=reason) as caught:
        load_label_space(path)
    assert str(path) in str(caught.value)
    assert '\n' not in str(caught.value)
