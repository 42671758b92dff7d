"""Compiles TFF computations for the worker; a round's work on a client becomes one TensorFlow graph."""

from __future__ import annotations

import tensorflow_federated as tff

from fedlearn_edu.engine.map_reduce import is_round, split_round


def compile_for_worker(computation: tff.framework.ConcreteComputation):
    """Returns what the worker runs: TFF's own native compilation, after merging each client's work of a round.

    Secure sums are simulated: see `simulate_secure_sums`.
    """
    return tff.backends.native.desugar_and_transform_to_native(merge_client_work(simulate_secure_sums(computation)))


def simulate_secure_sums(computation):
    """Replaces secure sums by plain ones of the same integers, because TFF's local runtime has no cryptography.

    The numbers are the same: values are clipped, turned to integers and checked to fit as for a real secure sum. But
    nothing is hidden from the process that adds them up. This is TFF's own replacement, from its test backend.

    Args:
        computation: Any computation.

    Returns:
        The rewritten one if it sums securely; everything else as it came.
    """
    # Names of intrinsics stand in the serialised form as they are; looking there is 100 times faster than the
    # replacement, which leaves a computation without secure sums as it is but takes 0.1 s for it.
    serialized = tff.framework.serialize_computation(computation).SerializeToString()
    if b"federated_secure" not in serialized:
        return computation
    return tff.backends.test.replace_secure_intrinsics_with_bodies(computation)


def merge_client_work(computation):
    """Rewrites a round so that a client's part is one TensorFlow graph and its results are aggregated together.

    As TFF composes it, a round of federated averaging calls TensorFlow five times per client: to build the dataset, to
    train on it, and to add up model delta, weight and metrics one after the other. The map-reduce form, TFF's own way
    to split a round for deployment, holds the same work in two calls; the results are equal bit for bit.

    Args:
        computation: Any computation.

    Returns:
        The rewritten one if it is a round, `(<S@SERVER, C@CLIENTS> -> <S@SERVER, M@SERVER>)`, maybe with the states
        that clients keep as a third result, and without secure sums; everything else as it came.
    """
    signature = computation.type_signature
    if not is_round(signature):
        return computation
    split = split_round(computation)
    form = split.form
    _, *secure_results = form.work.type_signature.result
    if any(len(result) for result in secure_results):
        return computation

    @tff.federated_computation(signature.parameter)
    def merged(arg):
        state, client_data = arg
        broadcast = tff.federated_broadcast(tff.federated_map(form.prepare, state))
        client_result = tff.federated_map(form.work, tff.federated_zip((client_data, broadcast)))[0]
        total = tff.federated_aggregate(client_result, form.zero(), form.accumulate, form.merge, form.report)
        nothing = tff.federated_value((), tff.SERVER)  # in place of the three secure sums
        new_state, metrics = tff.federated_map(
            form.update, tff.federated_zip((state, (total, nothing, nothing, nothing)))
        )
        if split.kept is None:
            return new_state, metrics
        return new_state, metrics[0], client_result[split.kept][0]

    return merged
