"""A round split into what server and clients do: TFF's map-reduce form, also where clients keep a state."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import tensorflow as tf
import tensorflow_federated as tff
from tensorflow.core.protobuf import rewriter_config_pb2

_KEPT = "kept_on_the_client"


@dataclasses.dataclass(frozen=True)
class RoundForm:
    """A round as TFF's deployments run it.

    Attributes:
        form: The map-reduce form: what the server prepares, a client's work, the aggregation, the server's update.
        kept: Where in a client's results the state stands that it keeps for itself; None in ordinary rounds.
    """

    form: tff.backends.mapreduce.MapReduceForm
    kept: int | None = None

    @property
    def upload_type(self) -> tff.StructType:
        """The type of what a client sends in plain, without what it keeps."""
        plain = tff.structure.to_elements(self.form.work.type_signature.result[0])
        return tff.StructType(plain if self.kept is None else plain[: self.kept] + plain[self.kept + 1 :])


@functools.lru_cache(maxsize=4)
def split_round(computation) -> RoundForm:
    """Returns what TFF splits a round into: server before, client, aggregation, server after.

    Kept for the last few rounds, since it takes seconds, and both the compiler and the measuring of messages ask.

    Args:
        computation: `(<S@SERVER, C@CLIENTS> -> <S@SERVER, M@SERVER>)`, or with `{K}@CLIENTS` as a third result.
    """
    config = tf.compat.v1.ConfigProto()
    rewrites = config.graph_options.rewrite_options  # as by TFF's default, but for the last line
    rewrites.constant_folding = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    rewrites.arithmetic_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    rewrites.loop_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    # Recomputing activations to save memory gives two nodes of a fine-tuned backbone one name, and TensorFlow aborts.
    rewrites.memory_optimization = rewriter_config_pb2.RewriterConfig.NO_MEM_OPT
    stateful = is_stateful_round(computation.type_signature)
    form = tff.backends.mapreduce.get_map_reduce_form_for_computation(
        _as_ordinary_round(computation) if stateful else computation, grappler_config=config
    )
    return RoundForm(form, _find_kept(form) if stateful else None)


def is_round(signature: tff.FunctionType) -> bool:
    """Whether a type is that of an iterative process' `next` on client data, with or without states of clients."""
    return _is_round_with(signature, [tff.SERVER, tff.SERVER]) or is_stateful_round(signature)


def is_stateful_round(signature: tff.FunctionType) -> bool:
    """Whether a round has a third result, that of each client for itself."""
    return _is_round_with(signature, [tff.SERVER, tff.SERVER, tff.CLIENTS])


def _is_round_with(signature, result_placements) -> bool:
    def placements(struct):
        if not isinstance(struct, tff.StructType):
            return None
        return [part.placement if isinstance(part, tff.FederatedType) else None for part in struct]

    return (
        placements(signature.parameter) == [tff.SERVER, tff.CLIENTS]
        and placements(signature.result) == result_placements
        and signature.result[0].is_assignable_from(signature.parameter[0])
    )


def _as_ordinary_round(computation):
    """Gives a stateful round the form of an ordinary one: the states enter an aggregation that ignores them.

    The map-reduce form knows no results of single clients. But all that is aggregated is a result of its client work,
    untouched, and there the states are found again by their name.
    """
    kept_type = tff.to_type([(_KEPT, computation.type_signature.result[2].member)])
    zero = tff.tensorflow.computation(lambda: tf.constant(0))
    ignore = tff.tensorflow.computation(lambda total, kept: total, (np.int32, kept_type))
    merge = tff.tensorflow.computation(lambda total, other: total, (np.int32, np.int32))
    report = tff.tensorflow.computation(lambda total: total, np.int32)

    @tff.federated_computation(computation.type_signature.parameter)
    def ordinary(arg):
        state, metrics, client_states = computation(*arg)
        named = tff.federated_zip(tff.structure.Struct([(_KEPT, client_states)]))
        nothing = tff.federated_aggregate(named, zero(), ignore, merge, report)
        return state, tff.federated_zip((metrics, nothing))

    return ordinary


def _find_kept(form) -> int:
    plain = form.work.type_signature.result[0]
    [index] = [i for i, part in enumerate(plain) if isinstance(part, tff.StructType) and dir(part) == [_KEPT]]
    return index
