"""What clients' training rows hold, from sums over the clients alone: one round of TFF, and no table in one place."""

from __future__ import annotations

import collections
import dataclasses

import numpy as np

from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.names import quoted
from fedlearn_edu.errors import UsageError

_MOST_COLUMNS = 100_000
_WORD_BYTES = 50  # of a category on its way to the server: its column's number, ":", and 44
_WHOLE_BYTES = 43  # of a category that travels as it is; a longer one is 6 characters (of up to 4), "#" and 19 digits
KINDS = {"f": "number", "i": "number", "u": "number", "b": "number", "U": "category"}  # of a column, by its dtype's
_PREFIX = 6
_BATCH_ROWS = 1024
_FAR_FROM_ZERO = 1e4  # a mean of so many spreads: squares around zero would lose the spread in their rounding


@dataclasses.dataclass(frozen=True)
class TableStatistics:
    """What the server has learned of a table's columns, over the training rows of all clients together.

    Attributes:
        num_rows: Training rows.
        counts: Column -> how many of them have a value.
        means: Number column -> mean of its values.
        stds: Number column -> their standard deviation (of the whole, not of a sample), 0 if all are the same.
        categories: Category column -> the `category_words` of each -> how many rows have it, the commonest first; only
            categories that enough clients hold.
        num_rounds: 1, or 2 if a column lies far from zero for its spread.
    """

    num_rows: int
    counts: dict[str, int]
    means: dict[str, float]
    stds: dict[str, float]
    categories: dict[str, dict[str, int]]
    num_rounds: int


def gather_table_statistics(clients: FederatedDataset, *, min_clients: int, capacity: int) -> TableStatistics:
    """Sums up, in one round, what each client counts in its training rows.

    A client sends, of every column, how many of its rows have a value, of number columns also the sum of the values and
    of their squares, in float64; and an invertible Bloom lookup table (IBLT) of its categories with their counts, which
    is `tff.analytics`' way to find common words (0.89 MB with room for 4,096 categories, however many a client has).
    All of these are added up, and the server decodes the sum. It learns these sums, and of each category its name, in
    how many rows it occurs and how many clients hold it; never which client sent what. The sum of the tables also holds
    categories of fewer than `min_clients` clients: they are dropped after decoding, so that a server which does as it
    says forgets them, but one that is curious can read them.

    Where a mean lies far from zero for the spread (days since 1970), the squares are summed again around the mean,
    which the clients are then told: a second round.

    Args:
        clients: Tables.
        min_clients: Of how many clients a category must come to be kept, >= 1.
        capacity: For how many different categories, of all columns together, the IBLT has room.

    Raises:
        UsageError: More categories than `capacity`, a column that holds neither numbers nor text, or values whose
            squares are beyond float64.
    """
    from fedlearn_edu.engine.runtime import start_runtime

    kind_of = column_kinds(clients.train(clients.client_ids[0])[0])
    names, kinds = list(kind_of), list(kind_of.values())
    matrices, words = [], []
    for client_id in clients.client_ids:
        rows = clients.train(client_id)[0]
        matrices.append(_as_matrix(rows))
        words.append([word for n, name in enumerate(names) if kinds[n] == "category" for word in _words(n, rows[name])])
    start_runtime()
    run = _build_round(len(names), min_clients=min_clients, capacity=capacity if "category" in kinds else 0)
    sums, found = run(np.zeros(len(names)), matrices, words)
    num_rounds, shift = 1, np.zeros(len(names))
    mean, variance = _moments(sums)
    with np.errstate(divide="ignore", invalid="ignore"):
        if (np.abs(mean) > _FAR_FROM_ZERO * np.sqrt(np.maximum(variance, 0))).any():
            num_rounds, shift = 2, mean
            sums, _ = run(shift, matrices, words, with_words=False)
            mean, variance = _moments(sums)
    is_finite = np.isfinite(mean) & np.isfinite(variance)
    if not is_finite.all():
        raise UsageError(
            f"clients: column {quoted(names[int(np.argmin(is_finite))])} holds infinity, or numbers whose squares are "
            "beyond float64 and which cannot be standardised; scale it down"
        )
    mean, std = mean + shift, np.sqrt(np.maximum(variance, 0))
    # A spread below the rounding of the values themselves is none.
    std = np.where(std <= 4 * np.finfo(np.float64).eps * np.abs(mean), 0, std)
    numbers = [n for n, kind in enumerate(kinds) if kind == "number"]
    return TableStatistics(
        num_rows=int(sums["rows"]),
        counts={name: int(sums["counts"][n]) for n, name in enumerate(names)},
        means={names[n]: float(mean[n]) for n in numbers},
        stds={names[n]: float(std[n]) for n in numbers},
        categories={
            name: dict(sorted(found.get(n, {}).items(), key=lambda item: (-item[1], item[0])))
            for n, name in enumerate(names)
            if kinds[n] == "category"
        },
        num_rounds=num_rounds,
    )


def column_kinds(rows: np.ndarray) -> dict[str, str]:
    """Returns column -> `"number"` or `"category"` of a table.

    Raises:
        UsageError: These are no records, there are too many columns, or one holds something else.

    Example:
        >>> column_kinds(np.array([(1, "red")], [("age", "i4"), ("colour", "U3")]))
        {'age': 'number', 'colour': 'category'}
    """
    names = rows.dtype.names
    if not names or len(names) > _MOST_COLUMNS:
        found = f"{len(names):,}" if names else "feature vectors, which need no other encoder"
        raise UsageError(f"clients: expected tables of at most {_MOST_COLUMNS:,} columns, got {found}")
    for name in names:
        if rows.dtype[name].kind not in KINDS or rows.dtype[name].shape:
            raise UsageError(
                f"clients: expected numbers or text in column {quoted(name)}, got {rows.dtype[name]}; make it float "
                "(NaN where missing) or text such as 'U20' ('' where missing)"
            )
    return {name: KINDS[rows.dtype[name].kind] for name in names}


def category_words(texts):
    """Returns the names by which the server knows categories, a string tensor: a long one's beginning and its hash.

    Args:
        texts: Categories, a string tensor or texts.

    Example:
        >>> [word.decode() for word in category_words(["Zürich", "a" * 90]).numpy()]
        ['Zürich', 'aaaaaa#2572429329685881366']
    """
    import tensorflow as tf

    texts = tf.convert_to_tensor(texts, tf.string)
    start = tf.strings.substr(texts, 0, _PREFIX, unit="UTF8_CHAR")
    code = tf.strings.as_string(tf.strings.to_hash_bucket_fast(texts, 2**63 - 1))
    short = tf.strings.join([start, code], separator="#")
    return tf.where(tf.strings.length(texts) <= _WHOLE_BYTES, texts, short)


def _words(column: int, values: np.ndarray) -> list[bytes]:
    texts, row_of = np.unique(values[values != ""], return_inverse=True)
    if not len(texts):
        return []
    words = np.array([b"%d:%s" % (column, word) for word in category_words(texts.tolist()).numpy()], object)
    return words[row_of].tolist()


def _as_matrix(rows: np.ndarray) -> np.ndarray:
    """Returns numbers as they are and categories as 0, NaN where there is no value, float64 `[num_rows, columns]`."""
    columns = [
        rows[name].astype(np.float64) if kind == "number" else np.where(rows[name] == "", np.nan, 0.0)
        for name, kind in column_kinds(rows).items()
    ]
    return np.stack(columns, axis=1)


def _moments(sums) -> tuple[np.ndarray, np.ndarray]:
    counts = np.maximum(sums["counts"], 1)
    with np.errstate(over="ignore", invalid="ignore"):  # told to the user by the column's name
        mean = sums["sums"] / counts
        return mean, sums["squares"] / counts - mean**2


def _build_round(num_columns: int, *, min_clients: int, capacity: int):
    """Returns `run(shift, matrices, words)` -> (sums, column number -> category -> rows)."""
    import tensorflow as tf
    import tensorflow_federated as tff

    matrix_type = tff.TensorType(np.float64, [None, num_columns])
    shift_type = tff.TensorType(np.float64, [num_columns])

    @tff.tensorflow.computation(shift_type, matrix_type)
    def count(shift, matrix):
        is_known = tf.math.logical_not(tf.math.is_nan(matrix))
        centred = tf.where(is_known, matrix - shift, tf.zeros_like(matrix))
        return collections.OrderedDict(
            rows=tf.shape(matrix, out_type=tf.int64)[0],
            counts=tf.reduce_sum(tf.cast(is_known, tf.int64), axis=0),
            sums=tf.reduce_sum(centred, axis=0),
            squares=tf.reduce_sum(centred**2, axis=0),
        )

    def add_up(shift, matrices):
        return tff.federated_sum(tff.federated_map(count, (tff.federated_broadcast(shift), matrices)))

    numbers_type = (tff.FederatedType(shift_type, tff.SERVER), tff.FederatedType(matrix_type, tff.CLIENTS))
    numbers_round = tff.federated_computation(add_up, *numbers_type)
    if not capacity:
        return lambda shift, matrices, words, with_words=False: (numbers_round(shift, matrices), {})
    find_words = tff.analytics.heavy_hitters.iblt.build_iblt_computation(
        capacity=capacity,
        string_max_bytes=_WORD_BYTES,
        k_anonymity=min_clients,
        batch_size=_BATCH_ROWS,
    )
    words_type = find_words.type_signature.parameter

    @tff.federated_computation(*numbers_type, words_type)
    def whole_round(shift, matrices, words):
        return add_up(shift, matrices), find_words(words)

    def run(shift, matrices, words, *, with_words=True):
        if not with_words:
            return numbers_round(shift, matrices), {}
        batches = [
            tf.data.Dataset.from_tensor_slices(tf.constant(of_client, tf.string)).batch(_BATCH_ROWS)
            for of_client in words
        ]
        sums, output = whole_round(shift, matrices, batches)
        if output.num_not_decoded != 0:
            raise UsageError(
                f"clients: more different categories than {capacity:,} (capacity); raise it, or leave out the columns "
                "with the most"
            )
        found = collections.defaultdict(dict)
        for word, num_rows in zip(output.heavy_hitters, output.heavy_hitters_counts, strict=True):
            column, _, category = word.decode().partition(":")
            found[int(column)][category] = int(num_rows)
        return sums, found

    return run
