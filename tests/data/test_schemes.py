import numpy as np
import pytest

from fedlearn_edu.data.schemes import IID, Dirichlet, Minority, Natural, Quantity, Shards, format_scheme, parse_scheme
from fedlearn_edu.errors import UsageError

LABELS = np.repeat(np.arange(10), 100)  # ten classes of 100


def class_counts(held):
    return np.array([np.bincount(LABELS[rows], minlength=10) for rows in held])


def deal(scheme, num_clients, seed=0):
    return scheme.deal(LABELS, num_clients, np.random.default_rng(seed))


@pytest.mark.parametrize(
    ("text", "scheme"),
    [
        ("iid", IID()),
        ("natural", Natural()),
        ("dirichlet:0.05", Dirichlet(0.05)),
        ("dirichlet", Dirichlet(0.3)),
        (" shards:3 ", Shards(3)),
        ("quantity:1.5", Quantity(1.5)),
        ("dirichlet:1e2", Dirichlet(100.0)),
        ("minority:2", Minority(2)),
        ("minority", Minority()),
    ],
)
def test_schemes_as_text(text, scheme):
    assert parse_scheme(text) == scheme
    assert parse_scheme(format_scheme(scheme)) == scheme


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "dirchlet:1",
            "partition: no scheme 'dirchlet'; did you mean 'dirichlet'? Known: dirichlet, iid, minority, natural",
        ),
        ("", "partition: no scheme ''; Known: "),
        ("iid:3", "partition: 'iid' takes no number, got 'iid:3'"),
        ("dirichlet:", "partition: expected a number after 'dirichlet:', got ''"),
        ("dirichlet:x", "partition: expected a number after 'dirichlet:', got 'x'"),
        ("shards:1.5", "partition: expected a whole number after 'shards:', got '1.5'"),
        ("dirichlet:0", "partition: 'dirichlet:0': concentration: expected a number from 1e-06 to 1e+06, got 0.0"),
        ("dirichlet:nan", "concentration: expected a number from 1e-06 to 1e+06, got nan"),
        ("shards:0", "partition: 'shards:0': shards_per_client: expected a whole number of at least 1, got 0"),
        ("quantity:-1", "skew: expected a number from 0 to 100, got -1.0"),
    ],
)
def test_bad_text(text, message):
    with pytest.raises(UsageError) as caught:
        parse_scheme(text)
    assert message in str(caught.value)


def test_bad_parameters():
    with pytest.raises(UsageError, match="concentration"):
        Dirichlet(concentration="0.3")
    with pytest.raises(UsageError, match="shards_per_client"):
        Shards(shards_per_client=True)


@pytest.mark.parametrize("num_classes", [1, 3])
def test_a_minority_alone_holds_its_classes(num_classes):
    counts = class_counts(deal(Minority(num_classes), 20))
    assert counts.sum(axis=1).tolist() == [50] * 20
    minority = counts[-2 * num_classes :]
    assert (minority[:, :-num_classes] == 0).all()
    assert (counts[: -2 * num_classes, -num_classes:] == 0).all()
    assert (counts[: -2 * num_classes, :-num_classes] > 0).any(axis=1).all()
    assert counts.sum(axis=0).tolist() == [100] * 10


def test_a_minority_is_somebody_and_not_all():
    assert [len(rows) for rows in deal(Minority(1), 2)] == [900, 100]
    assert [len(rows) for rows in deal(Minority(9), 2)] == [100, 900]
    for num_classes, num_clients in ((10, 5), (1, 1)):
        with pytest.raises(UsageError, match="num_classes: expected a minority's classes, fewer than all 10"):
            deal(Minority(num_classes), num_clients)


def test_iid_clients_look_like_the_whole():
    counts = class_counts(deal(IID(), 4))
    assert counts.sum(axis=1).tolist() == [250] * 4
    # 25 expected of each class, standard deviation 4.1: six of them cover every seed one meets.
    assert np.abs(counts - 25).max() < 25


def test_dirichlet_sizes_are_equal():
    assert sorted(len(rows) for rows in deal(Dirichlet(0.1), 7)) == [142] + [143] * 6


def test_dirichlet_near_zero_gives_one_class_each():
    assert ((class_counts(deal(Dirichlet(1e-6), 20)) > 0).sum(axis=1) == 1).all()


def test_dirichlet_at_large_concentration_is_iid():
    counts = class_counts(deal(Dirichlet(1e6), 4))
    assert np.abs(counts - 25).max() < 25


def test_dirichlet_proportions_have_the_distributions_mean_and_variance():
    # Over many clients that take a small part of a large data set, class shares are Dir(c, ..., c) over 10 classes:
    # mean 1/10, variance (1/10)(9/10)/(10c+1), plus that of drawing n examples from them.
    labels, c, n = np.repeat(np.arange(10), 20_000), 0.3, 100
    held = Dirichlet(c).deal(labels, 2_000, np.random.default_rng(0))
    shares = np.array([np.bincount(labels[rows], minlength=10) / n for rows in held[:500]])
    variance = 0.09 / (10 * c + 1)
    expected = variance + (0.09 - variance) / n
    assert abs(shares.mean() - 0.1) < 1e-9
    assert abs(shares.var() / expected - 1) < 0.1


def test_dirichlet_follows_how_common_the_classes_are():
    labels = np.repeat([0, 1], [9000, 1000])
    held = Dirichlet(1.0).deal(labels, 100, np.random.default_rng(0))
    first = np.mean([np.mean(labels[rows]) for rows in held[:50]])
    assert abs(first - 0.1) < 0.06


def test_skew_falls_with_concentration():
    def largest_share(concentration):
        return np.mean([class_counts(deal(Dirichlet(concentration), 20, seed)).max(axis=1) for seed in range(5)])

    shares = [largest_share(concentration) for concentration in (0.01, 0.1, 1.0, 10.0, 1000.0)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 2 * shares[-1]


@pytest.mark.parametrize("shards_per_client", [1, 2, 5])
def test_shards_limit_the_classes(shards_per_client):
    # 20 clients: every shard is a whole part of one class.
    counts = class_counts(deal(Shards(shards_per_client), 20))
    assert (counts > 0).sum(axis=1).max() <= shards_per_client
    assert (counts.sum(axis=1) == 50).all()


def test_shards_are_dealt_at_random():
    # Dealt in order, both shards of a client would be of one class.
    assert (class_counts(deal(Shards(2), 20)) > 0).sum(axis=1).mean() > 1.5


def test_shards_across_borders_add_at_most_one_class_each():
    assert (class_counts(deal(Shards(2), 7)) > 0).sum(axis=1).max() <= 4


def test_more_shards_than_examples():
    with pytest.raises(UsageError, match="100 clients x 11 shards are more than the 1000 examples"):
        deal(Shards(11), 100)


def test_quantity_is_a_power_law():
    sizes = sorted((len(rows) for rows in deal(Quantity(1.0), 4)), reverse=True)
    # 1000 / (1 + 1/2 + 1/3 + 1/4) = 480
    np.testing.assert_allclose(sizes, [480, 240, 160, 120], atol=1)
    assert [len(rows) for rows in deal(Quantity(0.0), 4)] == [250] * 4


def test_quantity_keeps_labels_iid_and_deals_ranks_by_seed():
    largest = [np.argmax([len(rows) for rows in deal(Quantity(2.0), 5, seed)]) for seed in range(20)]
    assert len(set(largest)) > 1
    counts = class_counts(deal(Quantity(1.0), 4))
    assert (counts[counts.sum(axis=1).argmax()] > 25).all()
