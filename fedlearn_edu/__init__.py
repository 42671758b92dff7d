"""fedlearn_edu: how pre-trained models and federated learning work together.

Importing this package is cheap: a name is loaded from its module when it is first used, and TensorFlow with it.
"""

from __future__ import annotations

import importlib

from fedlearn_edu.collection_pause import garbage_collection_paused
from fedlearn_edu.quiet import silence_import_noise

__version__ = "0.1.0"

silence_import_noise()

# Where each public name lives, room by room.
_NAMES = {
    "fedlearn_edu.errors": ["BatchNormWarning", "FedlearnError", "RunError", "UsageError"],
    "fedlearn_edu.data.datasets": ["ImageDataset", "dataset_names", "load_dataset"],
    "fedlearn_edu.data.partition": [
        "Dirichlet",
        "IID",
        "Minority",
        "Natural",
        "NaturalDirichlet",
        "Quantity",
        "Shards",
        "partition",
    ],
    "fedlearn_edu.data.federated": ["ClientSplit", "FederatedDataset"],
    "fedlearn_edu.backbone.hub": ["Backbone", "load_backbone"],
    "fedlearn_edu.backbone.features": ["extract_features"],
    "fedlearn_edu.backbone.pretrain": ["PretrainingResult", "pretrain"],
    "fedlearn_edu.backbone.publish": ["publish"],
    "fedlearn_edu.backbone.split": ["SplitBackbone", "depth_table", "split_backbone"],
    "fedlearn_edu.learning.batch_norm": ["from_keras_model", "live_batch_norm_layers"],
    "fedlearn_edu.learning.models": ["fine_tuned_backbone", "linear_head", "mlp_head"],
    "fedlearn_edu.learning.aggregators.coordinate_median": ["coordinate_median"],
    "fedlearn_edu.learning.aggregators.finite_only": ["finite_only"],
    "fedlearn_edu.learning.aggregators.geometric_median": ["geometric_median"],
    "fedlearn_edu.learning.aggregators.krum": ["krum", "multi_krum"],
    "fedlearn_edu.learning.aggregators.norm_bounding": ["norm_bounding", "zeroing"],
    "fedlearn_edu.learning.aggregators.trimmed_mean": ["trimmed_mean"],
    "fedlearn_edu.learning.attackers.attacked_fed_avg": ["build_attacked_fed_avg"],
    "fedlearn_edu.learning.attackers.data_attacks": [
        "FeatureDirection",
        "PixelPatch",
        "add_backdoor",
        "backdoor_success",
        "flip_labels",
        "with_trigger",
    ],
    "fedlearn_edu.learning.attackers.update_attacks": [
        "ConstantUpdate",
        "GaussianUpdate",
        "InnerProduct",
        "ScaledUpdate",
        "SignFlip",
    ],
    "fedlearn_edu.learning.algorithms.fed_avg": ["build_unweighted_fed_avg", "build_weighted_fed_avg"],
    "fedlearn_edu.learning.algorithms.fed_nova": ["build_fed_nova"],
    "fedlearn_edu.learning.algorithms.fed_opt": ["build_fed_adagrad", "build_fed_adam", "build_fed_yogi"],
    "fedlearn_edu.learning.algorithms.fed_prox": ["build_fed_prox"],
    "fedlearn_edu.learning.algorithms.fed_sgd": ["build_fed_sgd"],
    "fedlearn_edu.learning.algorithms.scaffold": ["build_scaffold"],
    "fedlearn_edu.learning.algorithms.fed_dyn": ["build_fed_dyn"],
    "fedlearn_edu.learning.algorithms.mime_lite": ["build_mime_lite"],
    "fedlearn_edu.learning.algorithms.q_ffl": ["build_q_fed_avg"],
    "fedlearn_edu.learning.algorithms.ditto": ["build_ditto"],
    "fedlearn_edu.learning.algorithms.fed_bn": ["build_fed_bn"],
    "fedlearn_edu.learning.algorithms.fed_per": ["build_fed_per"],
    "fedlearn_edu.learning.algorithms.fed_rep": ["build_fed_rep"],
    "fedlearn_edu.learning.one_shot.cof": ["one_shot_cof"],
    "fedlearn_edu.learning.one_shot.ncm": ["one_shot_ncm"],
    "fedlearn_edu.learning.one_shot.ridge": ["one_shot_ridge"],
    "fedlearn_edu.simulation.rounds": ["iter_rounds", "run_rounds"],
    "fedlearn_edu.simulation.history": ["History"],
    "fedlearn_edu.simulation.one_shot": ["OneShotResult", "run_one_shot"],
    "fedlearn_edu.simulation.central": ["train_centrally"],
    "fedlearn_edu.simulation.export": ["export_model"],
    "fedlearn_edu.simulation.fairness": ["before_and_after", "fairness_table"],
    "fedlearn_edu.simulation.personalisation": ["fine_tune_locally"],
    "fedlearn_edu.simulation.precomputed": ["pretraining_runs", "runs_at_round"],
    "fedlearn_edu.simulation.precomputed_runs": [
        "algorithm_runs",
        "attack_runs",
        "attack_selections",
        "personalisation_runs",
    ],
    "fedlearn_edu.simulation.runtime": ["start_runtime", "stop_runtime"],
    "fedlearn_edu.privacy.attacks.client_delta": ["client_delta"],
    "fedlearn_edu.privacy.attacks.result": ["AttackResult", "results_table"],
    "fedlearn_edu.privacy.attacks.label_counts": [
        "label_counts_from_delta",
        "label_shares_from_delta",
        "score_label_counts",
    ],
    "fedlearn_edu.privacy.attacks.label_matching": ["label_shares_by_matching"],
    "fedlearn_edu.privacy.attacks.feature_recovery": [
        "class_means_from_delta",
        "feature_from_delta",
        "nearest_public_image",
        "score_features",
        "score_nearest_images",
    ],
    "fedlearn_edu.privacy.attacks.image_reconstruction": ["reconstruct_image", "score_image"],
    "fedlearn_edu.privacy.attacks.gradient_inversion": [
        "gradients_of",
        "invert_gradients",
        "label_from_gradients",
        "score_inversion",
        "small_network",
    ],
    "fedlearn_edu.privacy.attacks.membership": [
        "likelihood_ratio_membership",
        "loss_threshold_membership",
        "score_membership",
    ],
    "fedlearn_edu.privacy.attacks.client_membership": ["client_membership"],
    "fedlearn_edu.privacy.attacks.shadow_heads": ["train_shadow_heads"],
    "fedlearn_edu.privacy.accountants": ["GaussianAccountant", "LocalAccountant", "TreeAccountant"],
    "fedlearn_edu.privacy.accounting": ["default_delta", "epsilon", "epsilon_table", "noise_multiplier_for"],
    "fedlearn_edu.privacy.guarantee": ["describe_guarantee", "guarantee_label", "largest_attack_accuracy"],
    "fedlearn_edu.privacy.precomputed": ["explorer_runs"],
    "fedlearn_edu.privacy.processes.central_dp": ["build_dp_fed_avg"],
    "fedlearn_edu.privacy.processes.distributed_dp": ["build_distributed_dp_fed_avg"],
    "fedlearn_edu.privacy.processes.dp_ftrl": ["build_dp_ftrl"],
    "fedlearn_edu.privacy.processes.local_dp": ["build_local_dp_fed_avg"],
    "fedlearn_edu.privacy.processes.secure": ["build_secure_fed_avg"],
    "fedlearn_edu.privacy.secure_aggregation": [
        "FixedPoint",
        "SecureAggregationClient",
        "SecureAggregationServer",
        "additive_shares",
        "lagrange_at_zero",
        "ring_sum",
        "secure_sum",
        "shamir_secret",
        "shamir_shares",
    ],
    "fedlearn_edu.plotting.pretraining": [
        "plot_pretraining_curve",
        "plot_pretraining_matters",
        "plot_pretraining_runs",
    ],
    "fedlearn_edu.plotting.race": ["plot_race"],
    "fedlearn_edu.plotting.secure_aggregation": ["plot_ring_values", "plot_secure_cost", "plot_server_view"],
    "fedlearn_edu.plotting.privacy": ["plot_attack_bound", "plot_epsilon", "plot_private_runs", "plot_releases"],
    "fedlearn_edu.plotting.privacy_utility": ["plot_frontier", "plot_tradeoff"],
    "fedlearn_edu.plotting.fairness": ["plot_fairness"],
    "fedlearn_edu.plotting.personalisation": ["plot_personalisation"],
    "fedlearn_edu.plotting.attack_runs": ["plot_attack_runs"],
    "fedlearn_edu.plotting.attacks": ["plot_image_rows", "plot_label_attack", "plot_membership"],
    "fedlearn_edu.plotting": ["plot_accuracy", "plot_client_heatmap", "plot_images", "plot_label_counts", "plot_run"],
    "fedlearn_edu.widgets.algorithm_race": ["AlgorithmRace"],
    "fedlearn_edu.widgets.attack_explorer": ["AttackExplorer"],
    "fedlearn_edu.widgets.dashboard": ["TrainingDashboard"],
    "fedlearn_edu.widgets.explorer": ["PartitionExplorer"],
    "fedlearn_edu.widgets.personalisation_explorer": ["PersonalisationExplorer"],
    "fedlearn_edu.widgets.pretraining_explorer": ["PretrainingExplorer"],
    "fedlearn_edu.widgets.privacy_explorer": ["PrivacyExplorer"],
    "fedlearn_edu.course.checks.session": ["check", "progress"],
}
# Loading a name from here means that TFF is about to be used.
_USES_TFF = ("fedlearn_edu.learning", "fedlearn_edu.simulation")  # private processes see to it themselves
_WITHOUT_TFF = (
    "History",
    "algorithm_runs",
    "attack_runs",
    "attack_selections",
    "before_and_after",
    "fairness_table",
    "personalisation_runs",
    "pretraining_runs",
    "runs_at_round",
)
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_MODULE_OF)


def __getattr__(name: str):
    if name in _MODULE_OF:
        module = _MODULE_OF[name]
        with garbage_collection_paused():
            if module.startswith(_USES_TFF) and name not in _WITHOUT_TFF:
                # Our runtime, not TFF's own, should run what it computes.
                importlib.import_module("fedlearn_edu.simulation.runtime").start_runtime()
            value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fedlearn_edu' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
