"""No module does more than compute features: attackers' graphs are refused before TensorFlow has run any of them."""

import pathlib
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hub_modules import save_module
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.client import pywrap_tf_session
from tensorflow.python.trackable.resource import CapturableResource

import fedlearn_edu as fl
from fedlearn_edu.backbone import scan, sources
from fedlearn_edu.backbone.harmless_operations import HARMLESS, SAVER

RAW = tf.raw_ops


def registry():
    """Every operation that this TensorFlow knows, with its arguments."""
    operations = op_def_pb2.OpList.FromString(pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList()))
    return {operation.name: operation for operation in operations.op}


REGISTRY = registry()


def means(images):
    return tf.reduce_mean(images, [1, 2])


def plus(images, number):
    """Features that depend on a number an attacker made."""
    with tf.control_dependencies([number] if isinstance(number, tf.Operation) else []):
        return means(images) + (0.0 if isinstance(number, tf.Operation) else tf.cast(number, tf.float32))


def length(text):
    return tf.strings.length(text)


def first(dataset):
    return dataset.reduce(tf.constant(0), lambda total, line: total + length(line))


def text_table(secret):
    table = RAW.HashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="t")
    made = RAW.InitializeTableFromTextFileV2(table_handle=table, filename=secret, key_index=-2, value_index=-1)
    with tf.control_dependencies([made]):
        return RAW.LookupTableSizeV2(table_handle=table)


# What each would do: read `secret`, write `planted`, or run Python or another machine.
ATTACKS = {
    "write": lambda x, secret, planted: plus(x, tf.io.write_file(planted, "x")),
    "read": lambda x, secret, planted: plus(x, length(tf.io.read_file(secret))),
    "list files": lambda x, secret, planted: plus(x, tf.size(tf.io.matching_files(secret))),
    "python": lambda x, secret, planted: plus(x, tf.py_function(lambda: 1.0, [], tf.float32)),
    "numpy": lambda x, secret, planted: plus(x, tf.numpy_function(lambda: np.float32(1), [], tf.float32)),
    "print to a file": lambda x, secret, planted: plus(x, tf.print("x", output_stream=f"file://{planted}")),
    "checkpoint write": lambda x, secret, planted: plus(
        x, RAW.SaveV2(prefix=planted, tensor_names=["a"], shape_and_slices=[""], tensors=[x])
    ),
    "checkpoint read": lambda x, secret, planted: plus(
        x, RAW.RestoreV2(prefix=secret, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.float32])[0]
    ),
    "checkpoint move": lambda x, secret, planted: plus(
        x, RAW.MergeV2Checkpoints(checkpoint_prefixes=[secret], destination_prefix=planted)
    ),
    "data set": lambda x, secret, planted: plus(x, first(tf.data.TextLineDataset(secret))),
    "data set of records": lambda x, secret, planted: plus(x, first(tf.data.TFRecordDataset(secret))),
    "vocabulary": lambda x, secret, planted: plus(x, text_table(secret)),
    "memory map": lambda x, secret, planted: plus(
        x, RAW.ImmutableConst(dtype=tf.float32, shape=[1], memory_region_name=secret)
    ),
    "debugger": lambda x, secret, planted: RAW.DebugIdentityV2(
        input=means(x), debug_urls=[f"file://{planted}"], tfdbg_context_id="x"
    ),
    "protocol description": lambda x, secret, planted: plus(
        x,
        tf.size(
            RAW.DecodeProtoV2(
                bytes=[""], message_type="m", field_names=[], output_types=[], descriptor_source=f"file://{secret}"
            ).sizes
        ),
    ),
    "in a branch": lambda x, secret, planted: tf.cond(
        tf.reduce_sum(x) > 1e9, lambda: plus(x, length(tf.io.read_file(secret))), lambda: means(x)
    ),
    "in a loop": lambda x, secret, planted: tf.map_fn(
        lambda row: tf.reduce_mean(row, [0, 1]) + tf.cast(length(tf.io.read_file(secret)), tf.float32), x
    ),
    "in a function of a function": lambda x, secret, planted: tf.function(
        lambda y: tf.function(lambda z: plus(z, tf.io.write_file(planted, "x")))(y)
    )(x),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_before_they_run(tmp_path, attack):
    secret, planted = tmp_path / "secret", tmp_path / "planted"
    secret.write_text("canary")
    folder = save_module(tmp_path / "module", lambda x: ATTACKS[attack](x, str(secret), str(planted)))
    with pytest.raises(fl.UsageError, match=r"operations that may reach beyond a network \(\w+") as caught:
        fl.load_backbone(folder)
    assert "\n" not in str(caught.value)
    assert "FEDLEARN_EDU_ALLOW_UNSAFE=1 allows them" in str(caught.value)
    assert not list(tmp_path.glob("planted*"))


class RunsAtLoad(CapturableResource):
    """What TensorFlow does for a table: make it, then fill it, while the module is loaded."""

    def __init__(self, planted):
        super().__init__()
        self.planted = planted

    def _create_resource(self):
        return RAW.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64)

    def _initialize(self):
        tf.io.write_file(self.planted, "x")


@pytest.fixture
def runs_at_load(tmp_path):
    """A module that writes `planted` while it is loaded."""
    module = tf.train.Checkpoint(resource=RunsAtLoad(str(tmp_path / "planted")))
    _ = module.resource.resource_handle
    module.__call__ = tf.function(means, input_signature=[tf.TensorSpec([None, 8, 8, 3], tf.float32)])
    module.variables = module.trainable_variables = module.regularization_losses = []
    tf.saved_model.save(module, str(tmp_path / "module"))
    return tmp_path / "module"


def test_what_would_run_while_loading_does_not(runs_at_load):
    planted = runs_at_load.with_name("planted")
    with pytest.raises(fl.UsageError, match="WriteFile"):
        fl.load_backbone(runs_at_load)
    assert not planted.exists()


@pytest.mark.parametrize("way", ["argument", "variable"])
def test_who_asks_for_it_gets_the_whole_program(runs_at_load, way, monkeypatch):
    if way == "variable":
        monkeypatch.setenv("FEDLEARN_EDU_ALLOW_UNSAFE", "1")
    assert fl.load_backbone(runs_at_load, allow_unsafe=way == "argument").feature_dim == 3
    assert runs_at_load.with_name("planted").read_text() == "x"


def test_no_harmless_operation_takes_a_place_an_address_or_a_program():
    assert set(REGISTRY) >= HARMLESS | SAVER
    # `config_proto` says how a function is run, on this machine, not what.
    outside = re.compile(
        "file|path|dir(?!ection)|url|uri|address|host(?!_reserved)|port|token|prefix|memory_region|descriptor|stream|"
        "(?<!config_)proto"
    )
    families = re.compile(
        "File|Py|Dataset|Iterator|Reader|Save|Restore|Checkpoint|Send|Recv|Rpc|Remote|Summary|Debug|Print|Collective|"
        "TPU|Tpu|Xla|Nccl|Sql|LMDB|BigQuery|Session|Service|Server|Memory|Abort|Vocab|Proto|Queue|Call(?<!edCall)"
    )
    for name in sorted(HARMLESS):
        operation = REGISTRY[name]
        arguments = [part.name for part in (*operation.input_arg, *operation.attr)]
        assert not [argument for argument in arguments if outside.search(argument)], name
        assert not families.search(name), name


# --- every operation that is not known, wherever it stands


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A published network, whose graph has functions within functions, branches and TensorFlow's saver."""
    layers = [tf.keras.layers.BatchNormalization(), tf.keras.layers.Dropout(0.5), tf.keras.layers.Dense(2)]
    model = tf.keras.Sequential(
        [tf.keras.Input([8, 8, 3]), tf.keras.layers.RandomFlip(), *layers, tf.keras.layers.GlobalMaxPooling2D()]
    )
    folder = tmp_path_factory.mktemp("network") / "module"
    fl.publish(model, folder)
    return folder


def parsed(folder) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString(pathlib.Path(folder, "saved_model.pb").read_bytes())


def danger_of(saved, folder) -> str | None:
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(saved.SerializeToString())
    return scan.find_danger(folder)


@settings(max_examples=60, deadline=None)
@given(operation=st.sampled_from(sorted(set(REGISTRY) - HARMLESS)) | st.text(min_size=1, max_size=20), data=st.data())
def test_an_unknown_operation_is_found_wherever_it_stands(network, tmp_path_factory, operation, data):
    saved = parsed(network)
    graph = saved.meta_graphs[0].graph_def
    savers = {f.signature.name for f in graph.library.function if "traced" in f.signature.name}
    bodies = [graph.node, *(f.node_def for f in graph.library.function if f.signature.name not in savers)]
    nodes = data.draw(st.sampled_from(bodies))
    if operation in HARMLESS or any(operation == f.signature.name for f in graph.library.function):
        return
    if data.draw(st.booleans()):
        nodes.add(name="added", op=operation)
    else:
        data.draw(st.sampled_from(list(nodes))).op = operation
    found = danger_of(saved, tmp_path_factory.getbasetemp() / "unknown")
    assert found
    assert operation[:60] in found or "and 1 more" in found


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 10**6))
def test_damaged_graphs_never_raise_and_never_pass_by_chance(network, tmp_path_factory, noise, position):
    good = (network / "saved_model.pb").read_bytes()
    position %= len(good)
    folder = tmp_path_factory.getbasetemp() / "damaged"
    folder.mkdir(exist_ok=True)
    (folder / "saved_model.pb").write_bytes(good[:position] + noise)
    found = scan.find_danger(folder)
    assert found is None or "\n" not in found
    assert found or good.startswith(good[:position] + noise)


# --- tricks with TensorFlow's own saver


def smuggled(saved, trick):
    """Changes a module so that what TensorFlow uses to save variables does something else, and returns it."""
    meta = saved.meta_graphs[0]
    library = meta.graph_def.library.function
    save = next(f for f in library if "traced_save" in f.signature.name)
    name = save.signature.name
    called = next(f for f in library if "inference_call" in f.signature.name)
    if trick == "called by the network":
        called.node_def.add(name="evil", op="StatefulPartitionedCall").attr["f"].func.name = name
    elif trick == "called by a function in a list":
        called.node_def.add(name="evil", op="Case").attr["branches"].list.func.add().name = name
    elif trick == "called by an attribute of an attribute":
        called.node_def.add(name="evil", op="If").attr["then_branch"].func.attr["f"].func.name = name
    elif trick == "called by another node":
        meta.graph_def.node.add(name="evil", op="StatefulPartitionedCall").attr["f"].func.name = name
    elif trick == "called as an operation":
        called.node_def.add(name="evil", op=name)
    elif trick == "called by the object graph":
        meta.object_graph_def.concrete_functions[name].bound_inputs.append(0)
    elif trick == "named by a text":
        called.attr["forward_function_name"].s = name.encode()
    elif trick == "a gradient":
        meta.graph_def.library.gradient.add(function_name=called.signature.name, gradient_func=name)
    elif trick == "in the place of another":
        save.attr["api_implements"].s = b"features"
    elif trick == "a saver that writes what it likes":
        save.node_def.add(name="evil", op="WriteFile")
    elif trick == "a saver that is the network":
        meta.saver_def.restore_op_name = "evil"
        meta.graph_def.node.add(name="evil", op="StatefulPartitionedCall").attr["f"].func.name = called.signature.name
        called.node_def.add(name="write", op="SaveV2")
    elif trick == "a function that is not there":
        called.node_def.add(name="evil", op="PartitionedCall").attr["f"].func.name = "__inference_of_another_module_1"
    elif trick == "a function named like an operation":
        library.add().signature.name = "WriteFile"
        called.node_def.add(name="evil", op="WriteFile")
    elif trick == "two graphs":
        saved.meta_graphs.add().CopyFrom(meta)
    elif trick == "no graph":
        saved.ClearField("meta_graphs")
    elif trick == "TensorFlow 1":
        meta.ClearField("object_graph_def")
    elif trick == "signatures that are none":
        meta.object_graph_def.nodes[0].children.add(local_name="signatures", node_id=0)
    elif trick == "asset above":
        meta.asset_file_def.add(filename="../../secret")
    elif trick == "asset at a fixed place":
        meta.asset_file_def.add(filename="/etc/passwd")
    return saved


@pytest.mark.parametrize(
    ("trick", "reason"),
    [
        ("called by the network", "MergeV2Checkpoints, SaveV2, ShardedFilename"),
        ("called by a function in a list", "SaveV2"),
        ("called by an attribute of an attribute", "SaveV2"),
        ("called by another node", "SaveV2"),
        ("called as an operation", "SaveV2"),
        ("called by the object graph", "SaveV2"),
        ("named by a text", "SaveV2"),
        ("a gradient", "SaveV2"),
        ("in the place of another", "SaveV2"),
        ("a saver that writes what it likes", "WriteFile"),
        ("a saver that is the network", "SaveV2"),
        ("a function that is not there", "__inference_of_another_module_1"),
        ("a function named like an operation", "WriteFile"),
        ("two graphs", "of TensorFlow 1"),
        ("no graph", "of TensorFlow 1"),
        ("TensorFlow 1", "of TensorFlow 1"),
        ("signatures that are none", "whose signatures cannot be read"),
        ("asset above", r"reads a file outside its folder: '\.\./\.\./secret'"),
        ("asset at a fixed place", "reads a file outside its folder: '/etc/passwd'"),
    ],
)
def test_tricks_are_refused(network, tmp_path, trick, reason):
    folder = shutil.copytree(network, tmp_path / "module")
    (folder / "saved_model.pb").write_bytes(smuggled(parsed(folder), trick).SerializeToString())
    with pytest.raises(fl.UsageError, match=reason):
        fl.load_backbone(folder)


def test_a_deep_or_huge_graph_is_refused_in_one_line(tmp_path):
    folder = tmp_path / "module"
    folder.mkdir()
    deep = b""
    for _ in range(500):  # a function that has an attribute that is a function that has ...
        deep = _field(10, _field(2, _field(1, b"f") + _field(2, deep)))
    node = _field(1, b"n") + _field(2, b"NoOp") + _field(5, _field(1, b"f") + _field(2, deep))
    (folder / "saved_model.pb").write_bytes(_field(2, _field(2, _field(1, node))))
    with pytest.raises(fl.UsageError, match="that cannot be read") as caught:
        fl.load_backbone(folder)
    assert "\n" not in str(caught.value)
    with open(folder / "saved_model.pb", "wb") as file:
        file.truncate(2**30 + 1)
    with pytest.raises(fl.UsageError, match="takes more than 1 GiB"):
        fl.load_backbone(folder)


def _field(number: int, content: bytes) -> bytes:
    """A field of a protocol buffer, as it is written."""
    length, size = b"", len(content)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + content


# --- what has to pass


def test_honest_modules_pass(bundled, tiny_folder, hub_cache):
    for folder in (sources.BUNDLED_DIR, tiny_folder, *pathlib.Path(hub_cache).glob("*/")):
        assert scan.find_danger(folder) is None


def _zoo():
    """Layers of networks that people use for images, one small model for all of them."""
    k = tf.keras.layers
    image = tf.keras.Input([8, 8, 3])
    x = k.Rescaling(2.0, offset=-1.0)(image)
    x = k.RandomContrast(0.1)(x)
    x = k.Conv2D(8, 3, padding="same", activation="swish")(k.ZeroPadding2D()(x))
    x = k.BatchNormalization()(k.SeparableConv2D(8, 3, activation="gelu")(x))
    x = k.GroupNormalization(2)(k.Conv2DTranspose(8, 3, activation="selu")(x))
    squeezed = k.Dense(8, activation="hard_sigmoid")(k.GlobalAveragePooling2D(keepdims=True)(x))
    x = k.Multiply()([x, squeezed])
    x = k.AveragePooling2D()(k.MaxPooling2D(3, 1, padding="same")(k.PReLU()(x)))
    x = k.Resizing(4, 4)(k.UpSampling2D(interpolation="bilinear")(x))
    x = k.LayerNormalization()(k.Reshape([16, 8])(x))
    x = k.Add()([x, k.MultiHeadAttention(2, 4)(x, x)])
    x = k.Softmax()(k.SpatialDropout1D(0.1)(k.GaussianNoise(0.1)(x)))
    return tf.keras.Model(image, k.UnitNormalization()(k.GlobalAveragePooling1D()(x)))


def test_a_zoo_of_layers_can_be_published_and_loaded(tmp_path):
    fl.publish(_zoo(), tmp_path / "zoo")
    assert fl.load_backbone(tmp_path / "zoo").feature_dim == 8
