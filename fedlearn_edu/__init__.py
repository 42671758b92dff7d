"""fedlearn_edu: how pre-trained models and federated learning work together.

Importing this package is cheap: a name is loaded from its module when it is first used, and TensorFlow with it.
"""

from __future__ import annotations

import importlib

from fedlearn_edu.quiet import silence_import_noise

__version__ = "0.1.0"

silence_import_noise()

# Where each public name lives, room by room.
_NAMES = {
    "fedlearn_edu.errors": ["FedlearnError", "RunError", "UsageError"],
    "fedlearn_edu.data.datasets": ["ImageDataset", "dataset_names", "load_dataset"],
    "fedlearn_edu.data.partition": ["Dirichlet", "IID", "Natural", "Quantity", "Shards", "partition"],
    "fedlearn_edu.data.federated": ["ClientSplit", "FederatedDataset"],
    "fedlearn_edu.backbone.hub": ["Backbone", "load_backbone"],
    "fedlearn_edu.backbone.features": ["extract_features"],
    "fedlearn_edu.learning.models": ["linear_head", "mlp_head"],
    "fedlearn_edu.learning.algorithms.fed_avg": ["build_unweighted_fed_avg", "build_weighted_fed_avg"],
    "fedlearn_edu.learning.algorithms.fed_sgd": ["build_fed_sgd"],
    "fedlearn_edu.simulation.rounds": ["iter_rounds", "run_rounds"],
    "fedlearn_edu.simulation.history": ["History"],
    "fedlearn_edu.simulation.central": ["train_centrally"],
    "fedlearn_edu.simulation.export": ["export_model"],
    "fedlearn_edu.simulation.runtime": ["start_runtime", "stop_runtime"],
    "fedlearn_edu.plotting": ["plot_accuracy", "plot_client_heatmap", "plot_images", "plot_label_counts", "plot_run"],
    "fedlearn_edu.widgets.dashboard": ["TrainingDashboard"],
    "fedlearn_edu.widgets.explorer": ["PartitionExplorer"],
    "fedlearn_edu.course.checks.session": ["check", "progress"],
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name in _MODULE_OF:
        module = _MODULE_OF[name]
        if module.startswith(("fedlearn_edu.learning", "fedlearn_edu.simulation")):
            # TFF is about to be used: our runtime, not TFF's own, should run what it computes.
            importlib.import_module("fedlearn_edu.simulation.runtime").start_runtime()
        value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fedlearn_edu' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
