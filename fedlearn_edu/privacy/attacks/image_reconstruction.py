"""Image reconstruction: from a recovered feature vector back to an image, by optimisation through the backbone."""

from __future__ import annotations

import numpy as np

from fedlearn_edu.backbone.hub import Backbone, check_images
from fedlearn_edu.bars import progress_bar
from fedlearn_edu.checks import check_count, check_not_negative, check_positive
from fedlearn_edu.errors import RunError, UsageError
from fedlearn_edu.privacy.attacks.received import check_features
from fedlearn_edu.privacy.attacks.result import AttackResult

# Strength of the regression from features to pixels, relative to the features' variance: good for 1,000 to 4,000 images
_RIDGE = 30.0


def reconstruct_image(
    feature: np.ndarray,
    backbone: Backbone,
    public_images: np.ndarray,
    public_features: np.ndarray,
    *,
    num_components: int = 300,
    num_steps: int = 60,
    learning_rate: float = 0.02,
    total_variation: float = 0.02,
    closeness: float = 0.1,
    progress: bool = True,
) -> np.ndarray:
    """Looks for the image that has a given feature vector.

    The backbone is public: every client has it. The server also owns public images of the same kind, with their
    features. First a ridge regression from features to pixels, fitted on these, draws a blurred image. Then Adam
    changes it so that its own features come nearer to those wanted, with gradients through the backbone. It moves
    within the principal components of the public images: free pixels would end as noise with the right
    features, since very many images share nearly the same. Total variation (neighbouring pixels alike) and closeness
    to the first draft keep it calm.

    What the backbone does not look at (exact texture, a word on a shirt) cannot come back.

    Args:
        feature: From `feature_from_delta`, `[feature_dim]`, or several, `[num_images, feature_dim]`.
        backbone: The frozen network that all clients use.
        public_images: uint8 `[num_public, height, width, 3]`, 1,000 or more of them; grey ones give grey results.
        public_features: The backbone's features of them, `[num_public, feature_dim]`.
        num_components: Principal components to move in, at least 1; at most the number of pixels or public images.
        num_steps: Steps of Adam, at least 0 (0 returns the first draft); about 10 ms an image, bundled backbone.
        learning_rate: Of Adam, in standard deviations of a component; above 0.
        total_variation: Weight of the smoothness, at least 0.
        closeness: Weight of the squared distance from the first draft in standard deviations, at least 0.
        progress: Show a progress bar.

    Returns:
        uint8 image or images.

    Shapes:
        `[feature_dim]` -> `[height, width, 3]`; `[num_images, feature_dim]` -> `[num_images, height, width, 3]`.

    Raises:
        UsageError: An argument has the wrong shape or range.
        RunError: The distance became NaN (try a smaller learning rate).

    References:
        Mahendran and Vedaldi, Understanding deep image representations by inverting them, CVPR 2015, arXiv:1412.0035.
        In federated learning with a frozen backbone: Maui, 2025, arXiv:2509.11451.
    """
    import tensorflow as tf
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    feature = np.asarray(feature)
    wanted = check_features("feature", np.atleast_2d(feature), feature_dim=backbone.feature_dim)
    public_images = check_images(public_images)
    public_features = check_features("public_features", public_features, feature_dim=backbone.feature_dim)
    if len(public_images) != len(public_features) or len(public_images) < 2:
        raise UsageError(
            f"public_images, public_features: expected equally many, at least 2, got {len(public_images)} and "
            f"{len(public_features)}"
        )
    check_count("num_steps", num_steps, least=0)
    check_count("num_components", num_components)
    check_positive("learning_rate", learning_rate)
    check_not_negative("total_variation", total_variation)
    check_not_negative("closeness", closeness)

    grey = bool((public_images == public_images[..., :1]).all())
    shape = (*public_images.shape[1:3], 1 if grey else 3)
    pixels = public_images[..., : shape[2]].reshape(len(public_images), -1).astype(np.float32) / 255
    centre, spread = public_features.mean(axis=0), public_features.std()
    num_components = min(num_components, *pixels.shape)
    components = PCA(num_components, svd_solver="randomized", random_state=0).fit(pixels)
    scale = np.sqrt(np.maximum(components.explained_variance_, 1e-12))
    regression = Ridge(alpha=_RIDGE * spread**2).fit(public_features - centre, components.transform(pixels) / scale)
    draft = regression.predict(wanted - centre)

    basis = tf.constant(components.components_ * scale[:, None], tf.float32)
    mean, first = tf.constant(components.mean_, tf.float32), tf.constant(draft, tf.float32)
    place = tf.Variable(first)
    lengths = tf.constant(np.maximum(np.sum((wanted - centre) ** 2, axis=1), 1e-12), tf.float32)
    target = tf.constant(wanted, tf.float32)
    optimizer = tf.keras.optimizers.Adam(learning_rate)
    optimizer.build([place])

    def images():
        flat = tf.clip_by_value(mean + place @ basis, 0.0, 1.0)
        drawn = tf.reshape(flat, [-1, *shape])
        return tf.repeat(drawn, 3, axis=3) if grey else drawn

    @tf.function
    def improve():
        with tf.GradientTape() as tape:
            drawn = images()
            features = backbone.layer(backbone.preprocess(255 * drawn))
            distance = tf.reduce_sum((features - target) ** 2, axis=1) / lengths
            roughness = tf.reduce_mean(tf.abs(drawn[:, 1:] - drawn[:, :-1]), axis=[1, 2, 3])
            roughness += tf.reduce_mean(tf.abs(drawn[:, :, 1:] - drawn[:, :, :-1]), axis=[1, 2, 3])
            away = tf.reduce_mean((place - first) ** 2, axis=1)
            loss = tf.reduce_sum(distance + total_variation * roughness + closeness * away)
        optimizer.apply_gradients([(tape.gradient(loss, place), place)])
        return tf.reduce_mean(distance)

    with progress_bar(total=num_steps, desc="image", unit="step", disable=not progress or not num_steps) as bar:
        for _ in range(num_steps):
            distance = float(improve())
            bar.update()
            bar.set_postfix(distance=f"{distance:.3f}", refresh=False)
            if not np.isfinite(distance):
                raise RunError(f"learning_rate: the search left all bounds (distance {distance}); try a tenth of it")
    found = np.rint(255 * images().numpy()).astype(np.uint8)
    return found[0] if feature.ndim == 1 else found


def score_image(found: np.ndarray, true_image: np.ndarray, public_images: np.ndarray) -> AttackResult:
    """Says how close an image that an attack found is to the true one.

    Args:
        found: uint8 or float in [0, 1], `[height, width, channels]`.
        true_image: The client's image, of the same shape and kind.
        public_images: What an attacker without any delta has, `[num_public, height, width, channels]`: the guess is
            their mean image, which beats every single one of them on average.

    Returns:
        Success and baseline are peak signal-to-noise ratios in dB (20 dB: the pixels are off by a tenth of the range).
        Details: `correlation` and `baseline_correlation` of the pixels (1 = the same up to brightness and
        contrast), `mean_squared_error`, `baseline_error`.

    Raises:
        UsageError: The shapes differ.
    """
    found, true_image, public_images = (_unit(a) for a in (found, true_image, public_images))
    if found.shape != true_image.shape or public_images.shape[1:] != true_image.shape or not len(public_images):
        raise UsageError(
            f"found, true_image, public_images: expected images of one shape, got {found.shape}, {true_image.shape} "
            f"and {public_images.shape}"
        )
    guess = public_images.mean(axis=0)
    error, guess_error = (float(np.mean((a - true_image) ** 2)) for a in (found, guess))
    return AttackResult(
        attack="image reconstruction",
        success=_decibel(error),
        baseline=_decibel(guess_error),
        metric="PSNR in dB",
        details={
            "correlation": _correlation(found, true_image),
            "baseline_correlation": _correlation(guess, true_image),
            "mean_squared_error": error,
            "baseline_error": guess_error,
        },
    )


def _unit(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    return image / 255.0 if image.dtype == np.uint8 else image.astype(np.float64)


def _decibel(mean_squared_error: float) -> float:
    return float(-10 * np.log10(max(mean_squared_error, 1e-10)))  # 100 dB: no visible difference


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.ravel() - one.mean(), other.ravel() - other.mean()
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-12))
