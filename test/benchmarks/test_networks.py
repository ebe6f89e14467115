"""The benchmark of networks: what it compares, and that it leaves no trace."""
import os

import pytest

from benchmarks import networks
from roadseg_ros.checkpoint import default_checkpoint_path, load_checkpoint
from roadseg_ros.models.registry import NETWORKS


def test_a_network_is_timed_beside_the_reference(monkeypatch, capsys):
    """One line each: both times, and their ratios."""
    asked, home = [], os.environ['XDG_CACHE_HOME']

    def measure(checkpoint, engine, rounds):
        asked.append((checkpoint.architecture, dict(checkpoint.arguments), engine, rounds))
        assert os.environ['XDG_CACHE_HOME'] != home
        return networks.Cost(30.0, 50.0), networks.Cost(20.0, 40.0)

    monkeypatch.setattr(networks, 'measure', measure)
    assert networks.main(['u_lite', 'fc_densenet', '--engine', 'torch', '--rounds', '1']) == 0
    assert asked == [('u_lite', {'num_classes': 11}, 'torch', 1)] + [
        ('fc_densenet', {'num_classes': 11, 'depth': depth}, 'torch', 1)
        for depth in (56, 67, 103)]
    assert os.environ['XDG_CACHE_HOME'] == home
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-6:] for line in lines] == [
        ['30.0', '20.0', '1.50', '50.0', '40.0', '1.25']] * 4
    assert lines[3].startswith('fc_densenet 103 ')


def test_both_are_run():
    """The packaged network and the reference, and processors work."""
    packaged = load_checkpoint(default_checkpoint_path())
    for cost in networks.measure(packaged, 'torch', rounds=1):
        assert cost.wall_ms > 1 and cost.processor_ms > 1


def test_an_unknown_network_is_named(capsys):
    """With the known ones, before anything is measured."""
    with pytest.raises(SystemExit):
        networks.main(['segnext'])
    assert f"unknown network 'segnext'; known: {', '.join(NETWORKS)}" in capsys.readouterr().err
