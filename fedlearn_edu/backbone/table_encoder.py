"""Tables as feature vectors: numbers standardised and categories one-hot, by statistics of all clients' sums."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np

from fedlearn_edu.backbone.table_statistics import KINDS, TableStatistics, category_words, gather_table_statistics
from fedlearn_edu.checks import check_count
from fedlearn_edu.data.federated import FederatedDataset
from fedlearn_edu.data.names import quoted
from fedlearn_edu.errors import UsageError

_VERSION = 1  # raise it whenever `TableEncoder.features` changes its output
_MOST_WORDS = 1_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class TableEncoder:
    """Turns rows of a table into feature vectors that are comparable over all clients.

    A number becomes (x - mean) / std, with mean and std of all clients' training rows; a missing one becomes the mean,
    that is 0. A category becomes a 1 in its own place, or in that of all others if it is not among those that are
    known. A column that has missing values in training rows gets a further place, which is 1 where it is missing; one
    that has no value in any training row is not read, since nothing is known of it.

    Attributes:
        statistics: What the server learned of the clients.
        max_categories: How many categories of a column have a place of their own.
        name: `"table"`.
        modality: `"table"`.
    """

    statistics: TableStatistics
    max_categories: int
    name: str = "table"
    modality: str = "table"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it reads."""
        return tuple(column for column, count in self.statistics.counts.items() if count)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """What each number of a feature vector tells, e.g. `"age"`, `"pain = mild"`, `"pain = (other)"`."""
        names = []
        for column in self.columns:
            if column in self.statistics.means:
                names.append(column)
            else:
                names += [f"{column} = {word}" for word in self._places(column)] + [f"{column} = (other)"]
            if self._has_missing(column):
                names.append(f"{column} is missing")
        return tuple(names)

    @property
    def feature_dim(self) -> int:
        return len(self.feature_names)

    @property
    def fingerprint(self) -> str:
        """sha256 over everything that decides a feature."""
        content = [_VERSION, self.max_categories, dataclasses.astuple(self.statistics)]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def key(self) -> str:
        """Returns what the feature cache knows it by."""
        return f"{self.fingerprint[:32]}-table-v{_VERSION}"

    def features(self, inputs: np.ndarray, *, batch_size: int | None = None, on_batch=None) -> np.ndarray:
        """Returns float32 feature vectors, `[num_rows, feature_dim]`.

        Args:
            inputs: Records with the columns of the tables that it was made from, `[num_rows]`.
            batch_size: Has no effect: all rows are one batch.
            on_batch: Called with the number of rows when they are done; None for nobody.

        Raises:
            UsageError: A column is not there or holds categories in place of numbers.
        """
        self._check(inputs)
        blocks = []
        for column in self.columns:
            values = inputs[column]
            if column in self.statistics.means:
                values = values.astype(np.float64)
                is_missing = np.isnan(values)
                scaled = (values - self.statistics.means[column]) / (self.statistics.stds[column] or 1.0)
                blocks.append(np.where(is_missing, 0, scaled)[:, None])
            else:
                is_missing = values == ""
                blocks.append(self._one_hot(column, values))
            if self._has_missing(column):
                blocks.append(is_missing[:, None])
        if on_batch is not None:
            on_batch(len(inputs))
        return np.concatenate(blocks, axis=1, dtype=np.float32, casting="unsafe")

    def serving_fn(self):
        """Returns a `tf.function`: column -> float32 or string `[batch]` (NaN or "" if missing) -> float32 features."""
        import tensorflow as tf

        is_number = {column: column in self.statistics.means for column in self.columns}
        signature = {
            column: tf.TensorSpec([None], tf.float64 if is_number[column] else tf.string) for column in self.columns
        }

        @tf.function(input_signature=[signature], autograph=False)
        def serve(columns):
            blocks = []
            for column in self.columns:
                values = columns[column]
                if is_number[column]:
                    is_missing = tf.math.is_nan(values)
                    scaled = (values - self.statistics.means[column]) / (self.statistics.stds[column] or 1.0)
                    blocks.append(tf.where(is_missing, tf.zeros_like(scaled), scaled)[:, None])
                else:
                    is_missing = values == ""
                    places = list(self._places(column))
                    is_known = category_words(values)[:, None] == tf.constant(places, tf.string)[None, :]
                    is_other = tf.logical_not(tf.reduce_any(is_known, axis=1) | is_missing)
                    blocks.append(tf.cast(tf.concat([is_known, is_other[:, None]], axis=1), tf.float64))
                if self._has_missing(column):
                    blocks.append(tf.cast(is_missing, tf.float64)[:, None])
            return tf.cast(tf.concat(blocks, axis=1), tf.float32)

        return serve

    def _places(self, column: str) -> dict[str, int]:
        words = list(self.statistics.categories[column])[: self.max_categories]
        return {word: place for place, word in enumerate(words)}

    def _has_missing(self, column: str) -> bool:
        return self.statistics.counts[column] < self.statistics.num_rows

    def _one_hot(self, column: str, values: np.ndarray) -> np.ndarray:
        places = self._places(column)
        texts, row_of = np.unique(values, return_inverse=True)
        words = category_words(texts.tolist()).numpy() if len(texts) else []
        place_of = np.array([places.get(word.decode(), len(places)) for word in words], int)[row_of]
        one_hot = np.zeros([len(values), len(places) + 1], np.float32)
        known = values != ""
        one_hot[np.flatnonzero(known), place_of[known]] = 1
        return one_hot

    def _check(self, inputs: np.ndarray) -> None:
        names = getattr(getattr(inputs, "dtype", None), "names", None) or ()
        for column in self.columns:
            kind, what = ("number", "numbers") if column in self.statistics.means else ("category", "categories")
            if column not in names or KINDS.get(inputs.dtype[column].kind) != kind:
                raise UsageError(
                    f"inputs: expected a column {quoted(column)} of {what}, as in the tables that the encoder was made "
                    "from"
                )


def build_table_encoder(
    clients: FederatedDataset, *, min_clients: int = 2, max_categories: int = 100, capacity: int = 4096
) -> TableEncoder:
    """Makes an encoder of the clients' tables, federatedly: the server sees sums over the clients and no row.

    What exactly it learns stands in `gather_table_statistics`. Only training rows are counted.

    Args:
        clients: Tables, as `partition` deals them out.
        min_clients: Of how many clients a category must come to have a place of its own, >= 1; a single client's may
            tell who it is. At most the number of clients.
        max_categories: How many categories of a column have one, the commonest first, >= 1.
        capacity: For how many different categories, of all columns together, the message has room, >= 1.

    Returns:
        An encoder for `extract_features(clients, encoder)`.

    Raises:
        UsageError: The examples are no tables of numbers and text, an argument is out of range, there are more
            categories than fit, or no value at all.
    """
    check_count("min_clients", min_clients)
    check_count("max_categories", max_categories)
    check_count("capacity", capacity, most=_MOST_WORDS)
    if clients.modality != "table":
        raise UsageError(f"clients: expected tables, got examples of the kind {quoted(clients.modality)}")
    statistics = gather_table_statistics(clients, min_clients=min(min_clients, clients.num_clients), capacity=capacity)
    encoder = TableEncoder(statistics, max_categories)
    if not encoder.columns:
        raise UsageError("clients: no column has a value in any training row")
    return encoder
