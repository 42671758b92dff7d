"""Hashed n-grams: equal texts are equal, alike texts are near, and what is exported is what was computed."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from fedlearn_edu.backbone.text_encoder import HashedTextEncoder
from fedlearn_edu.errors import UsageError

TEXTS = ["The cat sat on the mat", "the cats sat on a mat", "Schöne Grüße aus Zürich", "你好世界", "🙂", "", "   "]


def test_vectors_have_length_one_or_zero():
    features = HashedTextEncoder(feature_dim=256).features(TEXTS)
    assert features.dtype == np.float32
    assert features.shape == (7, 256)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), [1, 1, 1, 1, 1, 0, 0], rtol=1e-6)


def test_case_and_spaces_around_do_not_matter_and_alike_texts_are_near():
    encoder = HashedTextEncoder()
    cat, cats, greeting = encoder.features(TEXTS[:3])
    np.testing.assert_array_equal(encoder.features(["  THE CAT SAT ON THE MAT\n"])[0], cat)
    assert cat @ cats > 0.7 > 0.3 > abs(cat @ greeting)


def test_every_run_of_characters_counts_once():
    """With so many places that none collide, the values are the counts of the runs, up to sign and length."""
    text = "abab"
    values = np.abs(HashedTextEncoder(feature_dim=1 << 16, longest=2).features([text])[0])
    # " abab " has the runs a b a b, " a" ab ba ab "b ".
    counts = collections.Counter([2, 2, 1, 2, 1, 1])
    smallest = values[values > 0].min()
    assert collections.Counter(np.round(values[values > 0] / smallest).astype(int).tolist()) == counts


def test_the_length_of_a_batch_changes_nothing_and_long_texts_are_cut():
    encoder = HashedTextEncoder(max_characters=10)
    many = encoder.features([f"{text[:10]} and more" if len(text) > 9 else text for text in TEXTS] * 30)
    np.testing.assert_array_equal(many[:7], many[-7:])
    np.testing.assert_array_equal(encoder.features(["0123456789abc"]), encoder.features(["0123456789"]))


def test_a_saved_model_gives_the_same(tmp_path):
    encoder = HashedTextEncoder(feature_dim=64)
    module = tf.Module()
    module.encode = encoder.serving_fn()
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path)).encode(tf.constant(TEXTS))
    np.testing.assert_array_equal(loaded.numpy(), encoder.features(TEXTS))


def test_half_a_character_and_what_is_no_text():
    assert np.isfinite(HashedTextEncoder().features(["\ud800 half"])).all()
    with pytest.raises(UsageError, match="inputs: expected texts, got 7"):
        HashedTextEncoder().features(["a", 7])


@pytest.mark.parametrize("options", [{"feature_dim": 8}, {"feature_dim": 2**21}, {"longest": 0}, {"longest": 9}])
def test_arguments(options):
    with pytest.raises(UsageError, match=f"{next(iter(options))}: expected"):
        HashedTextEncoder(**options)


def test_fingerprints_tell_encoders_apart():
    encoders = [HashedTextEncoder(), HashedTextEncoder(longest=3), HashedTextEncoder(feature_dim=512)]
    assert len({encoder.fingerprint for encoder in encoders}) == 3
    assert HashedTextEncoder().key() == encoders[0].key()
