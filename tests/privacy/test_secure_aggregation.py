"""Secure sums equal plain sums, at every stage of dropping out; the server sees nothing else; bad input is refused."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.secure_aggregation import (
    STAGES,
    FixedPoint,
    SecureAggregationClient,
    SecureAggregationServer,
    additive_shares,
    lagrange_at_zero,
    ring_sum,
    secure_sum,
    shamir_secret,
    shamir_shares,
)
from fedlearn_edu.privacy.secure_aggregation.primitives import RandomSource, decrypt, encrypt

quick = settings(max_examples=25, deadline=None)


def make_vectors(num_clients, shape=(5,), *, seed=0, scale=2.0):
    rng = np.random.default_rng(seed)
    return {f"client_{i:02d}": rng.uniform(-scale, scale, shape) for i in range(num_clients)}


def integer_sum(vectors, encoding, contributors):
    """Python's own whole numbers, which have no ring to overflow."""
    exact = [[round(float(x) / encoding.step) for x in np.ravel(vectors[c])] for c in contributors]
    return [sum(column) for column in zip(*exact, strict=True)]


# Sums


@quick
@given(
    num_clients=st.integers(2, 8),
    shape=st.lists(st.integers(0, 4), max_size=3).map(tuple),
    bits=st.sampled_from([16, 32, 64]),
    data=st.data(),
)
def test_equals_the_plain_sum_to_the_step(num_clients, shape, bits, data):
    threshold = data.draw(st.integers(num_clients // 2 + 1, num_clients).filter(lambda t: t >= 2))
    seed = data.draw(st.one_of(st.none(), st.integers(0, 100)))
    encoding = FixedPoint(clip=2.0, step=2.0**-9, bits=bits)
    vectors = make_vectors(num_clients, shape, seed=num_clients)
    result = secure_sum(vectors, threshold=threshold, encoding=encoding, seed=seed)
    assert result.contributors == tuple(vectors)
    assert result.total.shape == shape
    plain = np.sum(list(vectors.values()), axis=0)
    assert np.all(np.abs(result.total - plain) <= num_clients * encoding.step / 2 + 1e-12)
    whole = (result.total / encoding.step).ravel().tolist()
    assert whole == (integer_sum(vectors, encoding, vectors) if result.total.size else [])


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("num_dropped", range(5))
def test_dropouts_at_every_stage(stage, num_dropped):
    """Of 7 clients and a threshold of 4, up to 3 may go at any stage; the fourth one ends it."""
    vectors = make_vectors(7)
    gone = list(vectors)[1 : 1 + num_dropped]
    dropouts = dict.fromkeys(gone, stage)
    if num_dropped > 3:
        with pytest.raises(RunError, match=rf"given up in stage '{stage}': 3 clients.*threshold is 4.*dropped out: "):
            secure_sum(vectors, threshold=4, dropouts=dropouts, seed=0)
        return
    result = secure_sum(vectors, threshold=4, dropouts=dropouts, seed=0)
    # Who is silent in the last stage has sent its vector before.
    expected = list(vectors) if stage == "unmask" else [c for c in vectors if c not in gone]
    assert list(result.contributors) == expected
    whole = (result.total / FixedPoint().step).tolist()
    assert whole == integer_sum(vectors, FixedPoint(), expected)


@quick
@given(st.lists(st.sampled_from([None, *STAGES]), min_size=2, max_size=9), st.data())
def test_any_pattern_of_dropouts_gives_the_exact_sum_or_none(pattern, data):
    vectors = make_vectors(len(pattern), (3,))
    dropouts = {c: stage for c, stage in zip(vectors, pattern, strict=True) if stage}
    threshold = data.draw(st.integers(max(2, len(pattern) // 2 + 1), len(pattern)))
    if pattern.count(None) < threshold:
        with pytest.raises(RunError, match="given up in stage"):
            secure_sum(vectors, threshold=threshold, dropouts=dropouts)
        return
    result = secure_sum(vectors, threshold=threshold, dropouts=dropouts)
    expected = [c for c in vectors if dropouts.get(c) in (None, "unmask")]
    assert list(result.contributors) == expected
    assert (result.total / FixedPoint().step).tolist() == integer_sum(vectors, FixedPoint(), expected)


def test_dropouts_at_all_stages_at_once():
    vectors = make_vectors(12, (3, 2))
    dropouts = dict(zip(vectors, [*STAGES, "masked_input"], strict=False))
    result = secure_sum(vectors, threshold=7, dropouts=dropouts)
    expected = [c for c in vectors if dropouts.get(c) in (None, "unmask")]
    assert list(result.contributors) == expected
    assert (result.total / FixedPoint().step).ravel().tolist() == integer_sum(vectors, FixedPoint(), expected)


def test_largest_values_of_all_clients_just_fit():
    encoding = FixedPoint(clip=1.0, step=2.0**-13, bits=16)
    assert encoding.max_clients == 3
    for sign in (1.0, -1.0):
        vectors = {name: np.full(4, sign) for name in "abc"}
        assert secure_sum(vectors, threshold=2, encoding=encoding).total.tolist() == [3 * sign] * 4
    with pytest.raises(UsageError, match=r"room for 3 clients.*got 4; use more bits"):
        secure_sum({name: np.ones(4) for name in "abcd"}, threshold=3, encoding=encoding)


def test_transcript_counts_what_was_sent():
    vectors = make_vectors(5, (100,))
    result = secure_sum(vectors, threshold=3, dropouts={"client_04": "masked_input"}, seed=1)
    upload = result.transcript.groupby("stage")["upload_bytes"].agg(["count", "max"]).loc[list(STAGES)]
    share = 12 + 16 + 2 * 33  # nonce, tag, two shares
    assert upload["count"].tolist() == [5, 5, 4, 4]  # one row for each message sent
    assert upload["max"].tolist() == [64, 4 * (2 + share), 400, 5 * (2 + 33)]
    download = result.transcript.groupby("stage")["download_bytes"].max().loc[list(STAGES)]
    assert download.tolist() == [5 * (2 + 64), 4 * (2 + share), 4 * 2, 0]
    assert (result.transcript["seconds"] > 0).all()
    assert result.server_seconds > 0


def test_seed_repeats_every_message_and_none_does_not():
    def masked(seed):
        received = secure_sum(make_vectors(3), threshold=2, seed=seed).server.received["masked_input"]
        return np.stack(list(received.values()))

    assert np.array_equal(masked(5), masked(5))
    assert not np.array_equal(masked(5), masked(6))
    assert not np.array_equal(masked(None), masked(None))


# What the server sees


def test_masked_vectors_look_uniform_and_plain_ones_do_not():
    """Chi-square over the top byte and over the bottom byte of every number."""
    encoding = FixedPoint()
    vectors = make_vectors(3, (20_000,), scale=0.5)
    server = secure_sum(vectors, threshold=2, seed=3).server

    def p_value(ring, shift):
        return stats.chisquare(np.bincount((ring >> shift) & 255, minlength=256)).pvalue

    for client_id, masked in server.received["masked_input"].items():
        plain = encoding.encode(vectors[client_id])
        assert min(p_value(masked, 0), p_value(masked, 24)) > 1e-3
        assert p_value(plain, 24) < 1e-12  # the test can tell: small numbers fill few values of the top byte
        assert abs(np.corrcoef(masked, vectors[client_id])[0, 1]) < 0.03


def test_equal_vectors_do_not_look_equal():
    vectors = {name: np.zeros(1000) for name in "abc"}
    masked = list(secure_sum(vectors, threshold=2, seed=0).server.received["masked_input"].values())
    assert all(np.mean(one == other) < 0.01 for one, other in itertools.combinations([*masked, np.zeros(1000)], 2))


@pytest.mark.parametrize("stage", STAGES)
def test_server_never_holds_both_kinds_of_shares_of_a_client(stage):
    vectors = make_vectors(6)
    server = secure_sum(vectors, threshold=4, dropouts={"client_01": stage}, seed=0).server
    of_key = {c for message in server.received["unmask"].values() for c in message.mask_key}
    of_seed = {c for message in server.received["unmask"].values() for c in message.self_mask}
    assert not of_key & of_seed
    assert of_seed == set(server.contributors)
    assert of_key == ({"client_01"} if stage == "masked_input" else set())
    # What passed through before is encrypted: the revealed shares are nowhere in it.
    seen = b"".join(box for boxes in server.received["share_keys"].values() for box in boxes.values())
    for message in server.received["unmask"].values():
        assert not any(share in seen for share in [*message.mask_key.values(), *message.self_mask.values()])


def talk(vectors, *, threshold, until):
    """Clients and server after all stages before `until`, with the answers for it."""
    server = SecureAggregationServer(vectors, threshold=threshold, shape=(5,))
    clients = {c: SecureAggregationClient(c, v, threshold=threshold, seed=0) for c, v in vectors.items()}
    answers = {c: None for c in clients}
    for stage in STAGES[: STAGES.index(until)]:
        for client_id, client in clients.items():
            arguments = [] if stage == STAGES[0] else [answers[client_id]]
            server.receive(client_id, getattr(client, stage)(*arguments))
        answers = server.close()
    return server, clients, answers


def test_client_answers_once():
    """A server that asks again with another list of contributors would get the other kind of share."""
    _, clients, answers = talk(make_vectors(4), threshold=3, until="unmask")
    clients["client_00"].unmask(answers["client_00"])
    with pytest.raises(RunError, match="client_00 goes no further: it was asked for 'unmask'; expected 'nothing more'"):
        clients["client_00"].unmask(("client_00", "client_01", "client_02"))


@pytest.mark.parametrize(
    ("contributors", "message"),
    [
        (("client_00", "client_01"), "only 2 clients sent their masked vectors, the threshold is 3"),
        (("client_01", "client_02", "client_03"), "lacks this client"),
        (("client_00", "client_01", "stranger"), "names one that shared no keys"),
    ],
)
def test_client_refuses_an_unsound_list_of_contributors(contributors, message):
    _, clients, _ = talk(make_vectors(4), threshold=3, until="unmask")
    with pytest.raises(RunError, match=message):
        clients["client_00"].unmask(contributors)


def test_client_refuses_an_unsound_roster_or_inbox():
    def ready():
        _, clients, answers = talk(make_vectors(4), threshold=3, until="share_keys")
        return clients["client_00"], dict(answers["client_00"])

    client, roster = ready()
    with pytest.raises(RunError, match="holds a key twice"):
        client.share_keys({**roster, "client_01": roster["client_02"]})
    client, roster = ready()
    with pytest.raises(RunError, match="only 2 clients sent keys"):
        client.share_keys({c: roster[c] for c in ("client_00", "client_01")})
    client, roster = ready()
    with pytest.raises(RunError, match="threshold of 3 is not more than half of 6 clients"):
        client.share_keys({**roster, "more": roster["client_01"], "others": roster["client_02"]})
    client, roster = ready()
    client.share_keys(roster)
    with pytest.raises(RunError, match="stranger"):
        client.masked_input({"client_01": b"", "client_02": b"", "stranger": b""})


def test_swapped_or_changed_shares_are_noticed():
    for spoil in (lambda box: {**box, "client_01": box["client_02"]}, lambda box: {**box, "client_01": b"short"}):
        _, clients, answers = talk(make_vectors(4), threshold=3, until="masked_input")
        clients["client_00"].masked_input(spoil(answers["client_00"]))
        with pytest.raises(RunError, match="shares from 'client_01' for 'client_00': they do not decrypt"):
            clients["client_00"].unmask(tuple(clients))


def test_encryption_binds_sender_and_receiver():
    random = RandomSource(0, "test")
    box = encrypt(bytes(32), b"message", sender="a", receiver="b", random=random)
    assert decrypt(bytes(32), box, sender="a", receiver="b") == b"message"
    with pytest.raises(RunError):
        decrypt(bytes(32), box, sender="b", receiver="a")


def test_server_takes_only_what_it_waits_for():
    server, clients, answers = talk(make_vectors(4), threshold=3, until="masked_input")
    masked = clients["client_00"].masked_input(answers["client_00"])
    with pytest.raises(RunError, match="'stranger': not awaited in stage 'masked_input'"):
        server.receive("stranger", masked)
    with pytest.raises(RunError, match=r"expected a vector of uint32 and shape \(5,\), got uint32 and \(4,\)"):
        server.receive("client_00", masked[:4])
    server.receive("client_00", masked)
    with pytest.raises(RunError, match="'client_00': not awaited"):
        server.receive("client_00", masked)
    with pytest.raises(RunError, match="1 clients answered, the threshold is 3; nothing was unmasked"):
        server.close()
    assert server.total is None


def test_wrong_shares_of_a_dropped_key_are_noticed():
    """Never a silently wrong sum: the key from the shares must fit the public one."""
    server, clients, answers = talk(make_vectors(4), threshold=3, until="masked_input")
    for client_id in list(clients)[1:]:
        server.receive(client_id, clients[client_id].masked_input(answers[client_id]))
    answers = server.close()
    for client_id, contributors in answers.items():
        message = clients[client_id].unmask(contributors)
        message.mask_key["client_00"] = (1).to_bytes(33, "big")
        server.receive(client_id, message)
    with pytest.raises(RunError, match="mask_key of 'client_00' do"):
        server.close()


# Bad input


@pytest.mark.parametrize(
    ("threshold", "message"),
    [
        (7, "at most the number of clients, 6, got 7"),
        (1, "at least 2 .*hides nothing.*got 1"),
        (3, "more than half of the 6 clients, so at least 4 .*another kind of share.*got 3"),
        (4.0, "whole number of clients, got 4.0"),
    ],
)
def test_threshold_that_does_not_fit(threshold, message):
    with pytest.raises(UsageError, match=f"threshold: expected.*{message}"):
        secure_sum(make_vectors(6), threshold=threshold)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vectors": {}}, "client_ids: expected at least 2"),
        ({"vectors": {"a": [1.0]}}, "client_ids: expected at least 2"),
        ({"vectors": [[1.0], [2.0]]}, "vectors: expected a mapping"),
        ({"vectors": {"a": [1.0], "b": [1.0, 2.0]}}, r"one shape, got \(1,\) from 'a' and \(2,\) from 'b'"),
        ({"vectors": {"a": [[1.0], [1.0, 2.0]], "b": [1.0]}}, "'a' is a list of rows of different lengths"),
        ({"dropouts": {"client_9": "unmask"}}, "dropouts: 'client_9' is no client; did you mean"),
        ({"dropouts": {"client_00": "masked_inputs"}}, "is no stage; did you mean 'masked_input'"),
        ({"seed": -1}, "seed: expected a whole number >= 0"),
        ({"seed": "a"}, "seed: expected a whole number >= 0"),
    ],
)
def test_arguments_that_do_not_fit(arguments, message):
    arguments = {"vectors": make_vectors(3), "threshold": 2, **arguments}
    with pytest.raises(UsageError, match=message) as error:
        secure_sum(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("value", "message"),
    [(math.nan, "1 of 5 NaN or infinite"), (-math.inf, "1 of 5 NaN or infinite"), (8.001, "at most clip = 8.*8.001")],
)
def test_refused_update_stays_home_and_the_others_go_on(value, message):
    vectors = make_vectors(5)
    vectors["client_02"][3] = value
    with pytest.warns(UserWarning, match=rf"client_02 takes no part in the secure sum: values: .*{message}"):
        result = secure_sum(vectors, threshold=3)
    assert list(result.refused) == ["client_02"]
    others = [c for c in vectors if c != "client_02"]
    assert list(result.contributors) == others
    assert np.allclose(result.total, sum(vectors[c] for c in others), atol=1e-4)
    assert not any("client_02" in messages for messages in result.server.received.values())  # nothing was sent
    with (
        pytest.warns(UserWarning, match="client_02"),
        pytest.raises(RunError, match=r"4 clients answered.*refused to take part: client_02"),
    ):
        secure_sum(vectors, threshold=5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"clip": 0.0}, "clip: expected a finite number above 0"),
        ({"clip": math.nan}, "clip: expected a finite number above 0"),
        ({"step": -1.0}, "step: expected a finite number above 0"),
        ({"bits": 24}, "bits: expected 16, 32 or 64, got 24"),
        ({"step": 9.0}, "step: expected at most clip = 8"),
        ({"bits": 16}, "bits: 16 bits cannot hold two clients"),
        ({"bits": 64, "clip": 2.0**40}, "step: expected at least clip"),
    ],
)
def test_encoding_that_does_not_fit(settings, message):
    with pytest.raises(UsageError, match=message):
        FixedPoint(**settings)


@quick
@given(st.lists(st.floats(-8, 8), max_size=20), st.sampled_from([2.0**-16, 1e-3, 0.3]))
def test_decode_undoes_encode_to_half_a_step(values, step):
    encoding = FixedPoint(step=step)
    back = encoding.decode(encoding.encode(values))
    assert np.all(np.abs(back - values) <= step / 2 * (1 + 1e-9))


def test_encoding_refuses_other_types():
    with pytest.raises(UsageError, match="values: expected an array of real numbers"):
        FixedPoint().encode(["a"])
    with pytest.raises(UsageError, match=r"ring: expected an array of uint32, .* got int64"):
        FixedPoint().decode(np.zeros(2, np.int64))
    with pytest.raises(UsageError, match="vectors: expected unsigned integers of one dtype"):
        ring_sum([np.zeros(2, np.uint32), np.zeros(2, np.uint16)])


# Shares


@quick
@given(st.integers(2, 6), st.sampled_from([np.uint16, np.uint32, np.uint64]), st.integers(0, 2**16 - 1))
def test_additive_shares_give_the_values_back(num_shares, dtype, value):
    values = np.array([[value, 0], [1, np.iinfo(dtype).max]], dtype)
    shares = additive_shares(values, num_shares=num_shares)
    assert shares.shape == (num_shares, 2, 2)
    assert np.array_equal(ring_sum(shares), values)


def test_all_but_one_additive_shares_are_uniform():
    """Whichever share is missing: the others are uniform, and so is their sum, though every value is 5."""
    shares = additive_shares(np.full(30_000, 5, np.uint16), num_shares=3, seed=0)
    for missing in range(3):
        rest = np.delete(shares, missing, axis=0)
        for numbers in [*rest, ring_sum(rest)]:
            assert stats.chisquare(np.bincount(numbers >> 8, minlength=256)).pvalue > 1e-3
        assert abs(np.corrcoef(rest)[0, 1]) < 0.03


def test_shares_refuse_bad_arguments():
    for arguments, message in [
        ((np.zeros(2), 3), "values: expected unsigned"),
        ((np.zeros(2, np.uint16), 1), "num_shares: expected at least 2"),
    ]:
        with pytest.raises(UsageError, match=message):
            additive_shares(arguments[0], num_shares=arguments[1])
    for secret, threshold, num_shares, message in [
        (97, 2, 3, "secret: expected"),
        (-1, 2, 3, "secret: expected"),
        (5, 4, 3, "threshold: expected"),
        (5, 0, 3, "threshold: expected"),
        (5, 2, 97, "num_shares: expected below prime"),
    ]:
        with pytest.raises(UsageError, match=message):
            shamir_shares(secret, threshold=threshold, num_shares=num_shares, prime=97)
    for points in ([], [0, 1], [1, 98], [2, 2]):
        with pytest.raises(UsageError, match="points: expected"):
            lagrange_at_zero(points, prime=97)


@quick
@given(st.integers(0, 2**256 - 1), st.integers(1, 5), st.integers(0, 3), st.randoms())
def test_any_threshold_of_shamirs_shares_are_enough(secret, threshold, more, random):
    shares = shamir_shares(secret, threshold=threshold, num_shares=threshold + more)
    some = dict(random.sample(sorted(shares.items()), threshold))
    assert shamir_secret(some) == shamir_secret(shares) == secret


def test_fewer_shares_leave_every_secret_equally_possible():
    """Over a small field all polynomials can be counted: two shares of three fit every secret exactly once."""
    prime = 11
    shares = shamir_shares(7, threshold=3, num_shares=5, prime=prime, seed=0)
    for known in itertools.combinations(shares, 2):
        fitting = [
            a0
            for a0, a1, a2 in itertools.product(range(prime), repeat=3)
            if all((a0 + a1 * x + a2 * x * x) % prime == shares[x] for x in known)
        ]
        assert sorted(fitting) == list(range(prime))


def test_one_share_is_uniform_whatever_the_secret():
    for secret in (0, 10):
        seen = [shamir_shares(secret, threshold=2, num_shares=3, prime=11, seed=s)[2] for s in range(2000)]
        assert stats.chisquare(np.bincount(seen, minlength=11)).pvalue > 1e-3


def test_random_source_below_is_uniform():
    random = RandomSource(0, "test")
    counts = np.bincount([random.below(11) for _ in range(4000)], minlength=11)
    assert len(counts) == 11
    assert stats.chisquare(counts).pvalue > 1e-3
