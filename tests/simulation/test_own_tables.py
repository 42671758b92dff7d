"""A user's table and texts go all the way: read, dealt out, encoded, trained, and measured beside the baseline."""

import numpy as np
import pytest

import fedlearn_edu as fl


@pytest.mark.parametrize("kind", ["table", "text"])
def test_a_csv_file_is_trained_on_and_beats_the_baseline(tmp_path, kind):
    rng = np.random.default_rng(0)
    words = {"yes": "splendid warm bright", "no": "dull cold dreary"}
    lines = []
    for row in range(240):
        label = "yes" if rng.random() < 0.4 else "no"
        value = rng.normal(1000 + 3 * (label == "yes"), 1)
        lines.append(
            f"{value:.4f},{rng.choice(['a', 'b'])},{rng.choice(words[label].split())} {row % 7},{label},w{row % 3}"
        )
    path = tmp_path / "own.csv"
    path.write_text("value,kind,words,y,who\n" + "\n".join(lines) + "\n", encoding="utf-8")
    text = {"text": "words"} if kind == "text" else {"ignore": ["words"]}
    dataset = fl.load_dataset(path, target="y", client="who", **text)
    clients = fl.partition(dataset, fl.Natural(), seed=0)
    encoder = fl.HashedTextEncoder(feature_dim=256) if kind == "text" else fl.build_table_encoder(clients)
    features = fl.extract_features(clients, encoder)
    rate = 5.0 if kind == "text" else 0.5  # vectors of length 1 bear larger steps
    process = fl.build_unweighted_fed_avg(fl.linear_head(features), client_lr=rate)
    history = fl.run_rounds(process, features, num_rounds=5, clients_per_round=3, seed=0)
    baseline = dataset.task.baseline(features.pooled("test")[1])
    assert history.global_accuracy > max(0.9, baseline)
    wrong = fl.HashedTextEncoder() if kind == "table" else fl.load_backbone("bundled")
    with pytest.raises(fl.UsageError, match="expected an encoder of"):
        fl.extract_features(clients, wrong)
