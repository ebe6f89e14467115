"""Names of a data set as ids of a label space, and what does not fit."""
import pytest

from training.datasets.class_map import ClassMap
from training.datasets.frames import DatasetError

NAMES = ('road', 'parking', 'car', 'truck', 'sky')


def test_names_that_agree_are_taken_by_default():
    """A class takes the name that it is called itself; the rest is unlabelled."""
    classes = ClassMap('road_car', names=NAMES)
    assert [classes[name] for name in NAMES] == [1, 255, 2, 255, 255]
    assert 'car' in classes and 'sky' not in classes


def test_classes_and_rest_say_which_is_which():
    """A class takes the names listed, and no others; `rest` takes what is left."""
    classes = ClassMap('road_car', {'car': ['car', 'truck'], 'road': ('parking',)}, 'background',
                       NAMES)
    assert [classes[name] for name in NAMES] == [0, 1, 2, 2, 0]


def test_any_name_goes_where_none_are_known():
    """Without a list of names there is nothing to miss."""
    classes = ClassMap('road_car', {'car': ['van']})
    assert (classes['van'], classes['car']) == (2, 255)


@pytest.mark.parametrize('arguments, reason', [
    ({'classes': {'bus': ['car']}}, "classes: 'bus' is none of the classes background, road"),
    ({'classes': {'car': ['van']}}, "classes: the data set has no 'van', only road, parking"),
    ({'classes': {'car': ['car'], 'road': ['car']}}, "classes: 'car' stands twice"),
    ({'classes': {'car': 'truck'}}, 'classes must give a list of names for each class'),
    ({'classes': ['car']}, 'classes must give a list of names for each class'),
    ({'rest': 'bus'}, "rest: 'bus' is none of the classes background, road, car"),
    ({'labels': 'camvid', 'names': ('cat', 'dog')}, 'no class of camvid is called as in the '
                                                    r'data \(cat, dog\)'),
])
def test_what_does_not_fit_is_named(arguments, reason):
    """Unknown classes and names, and names without a class, are errors."""
    with pytest.raises(DatasetError, match=reason):
        ClassMap(**{'labels': 'road_car', 'names': NAMES, **arguments})
