"""The public names, and where each lives; what editors and type checkers read, and `__init__.py` loads from."""

from .backbone.encoder import Encoder as Encoder
from .backbone.features import extract_features as extract_features
from .backbone.hub import Backbone as Backbone
from .backbone.hub import load_backbone as load_backbone
from .backbone.pretraining.pretrain import PretrainingResult as PretrainingResult
from .backbone.pretraining.pretrain import pretrain as pretrain
from .backbone.publish import publish as publish
from .backbone.split import SplitBackbone as SplitBackbone
from .backbone.split import depth_table as depth_table
from .backbone.split import split_backbone as split_backbone
from .backbone.table_encoder import TableEncoder as TableEncoder
from .backbone.table_encoder import build_table_encoder as build_table_encoder
from .backbone.text_encoder import HashedTextEncoder as HashedTextEncoder
from .course.checks.learner import check as check
from .course.checks.learner import progress as progress
from .data.dataset import Dataset as Dataset
from .data.datasets import ImageDataset as ImageDataset
from .data.datasets import dataset_names as dataset_names
from .data.datasets import load_dataset as load_dataset
from .data.federated import ClientSplit as ClientSplit
from .data.federated import FederatedDataset as FederatedDataset
from .data.partition import (
    IID as IID,
)
from .data.partition import (
    Dirichlet as Dirichlet,
)
from .data.partition import (
    Minority as Minority,
)
from .data.partition import (
    Natural as Natural,
)
from .data.partition import (
    NaturalDirichlet as NaturalDirichlet,
)
from .data.partition import (
    Quantity as Quantity,
)
from .data.partition import (
    Shards as Shards,
)
from .data.partition import (
    partition as partition,
)
from .data.task import Task as Task
from .engine.runtime import start_runtime as start_runtime
from .engine.runtime import stop_runtime as stop_runtime
from .errors import (
    BatchNormWarning as BatchNormWarning,
)
from .errors import (
    FedlearnError as FedlearnError,
)
from .errors import (
    RunError as RunError,
)
from .errors import (
    UsageError as UsageError,
)
from .learning.aggregators.coordinate_median import coordinate_median as coordinate_median
from .learning.aggregators.finite_only import finite_only as finite_only
from .learning.aggregators.geometric_median import geometric_median as geometric_median
from .learning.aggregators.krum import krum as krum
from .learning.aggregators.krum import multi_krum as multi_krum
from .learning.aggregators.norm_bounding import norm_bounding as norm_bounding
from .learning.aggregators.norm_bounding import zeroing as zeroing
from .learning.aggregators.trimmed_mean import trimmed_mean as trimmed_mean
from .learning.algorithms.ditto import build_ditto as build_ditto
from .learning.algorithms.fed_avg import (
    build_unweighted_fed_avg as build_unweighted_fed_avg,
)
from .learning.algorithms.fed_avg import (
    build_weighted_fed_avg as build_weighted_fed_avg,
)
from .learning.algorithms.fed_bn import build_fed_bn as build_fed_bn
from .learning.algorithms.fed_dyn import build_fed_dyn as build_fed_dyn
from .learning.algorithms.fed_nova import build_fed_nova as build_fed_nova
from .learning.algorithms.fed_opt import (
    build_fed_adagrad as build_fed_adagrad,
)
from .learning.algorithms.fed_opt import (
    build_fed_adam as build_fed_adam,
)
from .learning.algorithms.fed_opt import (
    build_fed_yogi as build_fed_yogi,
)
from .learning.algorithms.fed_per import build_fed_per as build_fed_per
from .learning.algorithms.fed_prox import build_fed_prox as build_fed_prox
from .learning.algorithms.fed_rep import build_fed_rep as build_fed_rep
from .learning.algorithms.fed_sgd import build_fed_sgd as build_fed_sgd
from .learning.algorithms.mime_lite import build_mime_lite as build_mime_lite
from .learning.algorithms.q_ffl import build_q_fed_avg as build_q_fed_avg
from .learning.algorithms.scaffold import build_scaffold as build_scaffold
from .learning.batch_norm import from_keras_model as from_keras_model
from .learning.batch_norm import live_batch_norm_layers as live_batch_norm_layers
from .learning.models import (
    fine_tuned_backbone as fine_tuned_backbone,
)
from .learning.models import (
    linear_head as linear_head,
)
from .learning.models import (
    mlp_head as mlp_head,
)
from .learning.one_shot.cof import one_shot_cof as one_shot_cof
from .learning.one_shot.ncm import one_shot_ncm as one_shot_ncm
from .learning.one_shot.ridge import one_shot_ridge as one_shot_ridge
from .learning.poisoning.attacked_fed_avg import build_attacked_fed_avg as build_attacked_fed_avg
from .learning.poisoning.data_attacks import (
    FeatureDirection as FeatureDirection,
)
from .learning.poisoning.data_attacks import (
    PixelPatch as PixelPatch,
)
from .learning.poisoning.data_attacks import (
    add_backdoor as add_backdoor,
)
from .learning.poisoning.data_attacks import (
    backdoor_success as backdoor_success,
)
from .learning.poisoning.data_attacks import (
    flip_labels as flip_labels,
)
from .learning.poisoning.data_attacks import (
    with_trigger as with_trigger,
)
from .learning.poisoning.update_attacks import (
    ConstantUpdate as ConstantUpdate,
)
from .learning.poisoning.update_attacks import (
    GaussianUpdate as GaussianUpdate,
)
from .learning.poisoning.update_attacks import (
    InnerProduct as InnerProduct,
)
from .learning.poisoning.update_attacks import (
    ScaledUpdate as ScaledUpdate,
)
from .learning.poisoning.update_attacks import (
    SignFlip as SignFlip,
)
from .plotting import (
    plot_accuracy as plot_accuracy,
)
from .plotting import (
    plot_client_heatmap as plot_client_heatmap,
)
from .plotting import (
    plot_images as plot_images,
)
from .plotting import (
    plot_label_counts as plot_label_counts,
)
from .plotting import (
    plot_run as plot_run,
)
from .plotting.attack_runs import plot_attack_runs as plot_attack_runs
from .plotting.attacks import (
    plot_image_rows as plot_image_rows,
)
from .plotting.attacks import (
    plot_label_attack as plot_label_attack,
)
from .plotting.attacks import (
    plot_membership as plot_membership,
)
from .plotting.fairness import plot_fairness as plot_fairness
from .plotting.personalisation import plot_personalisation as plot_personalisation
from .plotting.pretraining_runs import (
    plot_pretraining_curve as plot_pretraining_curve,
)
from .plotting.pretraining_runs import (
    plot_pretraining_matters as plot_pretraining_matters,
)
from .plotting.pretraining_runs import (
    plot_pretraining_runs as plot_pretraining_runs,
)
from .plotting.privacy import (
    plot_attack_bound as plot_attack_bound,
)
from .plotting.privacy import (
    plot_epsilon as plot_epsilon,
)
from .plotting.privacy import (
    plot_private_runs as plot_private_runs,
)
from .plotting.privacy import (
    plot_releases as plot_releases,
)
from .plotting.privacy_utility import plot_frontier as plot_frontier
from .plotting.privacy_utility import plot_tradeoff as plot_tradeoff
from .plotting.race import plot_race as plot_race
from .plotting.secure_aggregation import (
    plot_ring_values as plot_ring_values,
)
from .plotting.secure_aggregation import (
    plot_secure_cost as plot_secure_cost,
)
from .plotting.secure_aggregation import (
    plot_server_view as plot_server_view,
)
from .privacy.accountants import (
    GaussianAccountant as GaussianAccountant,
)
from .privacy.accountants import (
    LocalAccountant as LocalAccountant,
)
from .privacy.accountants import (
    TreeAccountant as TreeAccountant,
)
from .privacy.accounting import (
    default_delta as default_delta,
)
from .privacy.accounting import (
    epsilon as epsilon,
)
from .privacy.accounting import (
    epsilon_table as epsilon_table,
)
from .privacy.accounting import (
    noise_multiplier_for as noise_multiplier_for,
)
from .privacy.attacks.client_delta import client_delta as client_delta
from .privacy.attacks.client_membership import client_membership as client_membership
from .privacy.attacks.feature_recovery import (
    class_means_from_delta as class_means_from_delta,
)
from .privacy.attacks.feature_recovery import (
    feature_from_delta as feature_from_delta,
)
from .privacy.attacks.feature_recovery import (
    nearest_public_image as nearest_public_image,
)
from .privacy.attacks.feature_recovery import (
    score_features as score_features,
)
from .privacy.attacks.feature_recovery import (
    score_nearest_images as score_nearest_images,
)
from .privacy.attacks.gradient_inversion import (
    gradients_of as gradients_of,
)
from .privacy.attacks.gradient_inversion import (
    invert_gradients as invert_gradients,
)
from .privacy.attacks.gradient_inversion import (
    label_from_gradients as label_from_gradients,
)
from .privacy.attacks.gradient_inversion import (
    score_inversion as score_inversion,
)
from .privacy.attacks.gradient_inversion import (
    small_network as small_network,
)
from .privacy.attacks.image_reconstruction import reconstruct_image as reconstruct_image
from .privacy.attacks.image_reconstruction import score_image as score_image
from .privacy.attacks.label_counts import (
    label_counts_from_delta as label_counts_from_delta,
)
from .privacy.attacks.label_counts import (
    label_shares_from_delta as label_shares_from_delta,
)
from .privacy.attacks.label_counts import (
    score_label_counts as score_label_counts,
)
from .privacy.attacks.label_matching import label_shares_by_matching as label_shares_by_matching
from .privacy.attacks.membership import (
    likelihood_ratio_membership as likelihood_ratio_membership,
)
from .privacy.attacks.membership import (
    loss_threshold_membership as loss_threshold_membership,
)
from .privacy.attacks.membership import (
    score_membership as score_membership,
)
from .privacy.attacks.result import AttackResult as AttackResult
from .privacy.attacks.result import results_table as results_table
from .privacy.attacks.shadow_heads import train_shadow_heads as train_shadow_heads
from .privacy.guarantee import (
    describe_guarantee as describe_guarantee,
)
from .privacy.guarantee import (
    guarantee_label as guarantee_label,
)
from .privacy.guarantee import (
    largest_attack_accuracy as largest_attack_accuracy,
)
from .privacy.processes.central_dp import build_dp_fed_avg as build_dp_fed_avg
from .privacy.processes.distributed_dp import build_distributed_dp_fed_avg as build_distributed_dp_fed_avg
from .privacy.processes.dp_ftrl import build_dp_ftrl as build_dp_ftrl
from .privacy.processes.local_dp import build_local_dp_fed_avg as build_local_dp_fed_avg
from .privacy.processes.secure import build_secure_fed_avg as build_secure_fed_avg
from .privacy.secure_aggregation import (
    FixedPoint as FixedPoint,
)
from .privacy.secure_aggregation import (
    SecureAggregationClient as SecureAggregationClient,
)
from .privacy.secure_aggregation import (
    SecureAggregationServer as SecureAggregationServer,
)
from .privacy.secure_aggregation import (
    additive_shares as additive_shares,
)
from .privacy.secure_aggregation import (
    lagrange_at_zero as lagrange_at_zero,
)
from .privacy.secure_aggregation import (
    ring_sum as ring_sum,
)
from .privacy.secure_aggregation import (
    secure_sum as secure_sum,
)
from .privacy.secure_aggregation import (
    shamir_secret as shamir_secret,
)
from .privacy.secure_aggregation import (
    shamir_shares as shamir_shares,
)
from .simulation.central import train_centrally as train_centrally
from .simulation.config import RunConfig as RunConfig
from .simulation.export import export_model as export_model
from .simulation.fairness import before_and_after as before_and_after
from .simulation.fairness import fairness_table as fairness_table
from .simulation.history import History as History
from .simulation.one_shot import OneShotResult as OneShotResult
from .simulation.one_shot import run_one_shot as run_one_shot
from .simulation.personalisation import fine_tune_locally as fine_tune_locally
from .simulation.rounds import iter_rounds as iter_rounds
from .simulation.rounds import run_rounds as run_rounds
from .simulation.stored_runs import (
    algorithm_runs as algorithm_runs,
)
from .simulation.stored_runs import (
    attack_runs as attack_runs,
)
from .simulation.stored_runs import (
    attack_selections as attack_selections,
)
from .simulation.stored_runs import explorer_runs as explorer_runs
from .simulation.stored_runs import (
    personalisation_runs as personalisation_runs,
)
from .simulation.stored_runs import pretraining_runs as pretraining_runs
from .simulation.stored_runs import runs_at_round as runs_at_round
from .widgets.algorithm_race import AlgorithmRace as AlgorithmRace
from .widgets.attack_explorer import AttackExplorer as AttackExplorer
from .widgets.dashboard import TrainingDashboard as TrainingDashboard
from .widgets.partition_explorer import PartitionExplorer as PartitionExplorer
from .widgets.personalisation_explorer import PersonalisationExplorer as PersonalisationExplorer
from .widgets.pretraining_explorer import PretrainingExplorer as PretrainingExplorer
from .widgets.privacy_explorer import PrivacyExplorer as PrivacyExplorer

__version__: str
