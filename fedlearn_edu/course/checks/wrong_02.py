"""Stored wrong answers of lesson 02, by function: plausible slips that its checks must catch (the tests prove it)."""

WRONG_ANSWERS = {
    "cosine_similarity": {
        "no normalisation": """
def cosine_similarity(a, b):
    return a @ b.T
""",
        "columns instead of rows": """
def cosine_similarity(a, b):
    a = a / np.maximum(np.linalg.norm(a, axis=0, keepdims=True), 1e-12)
    b = b / np.maximum(np.linalg.norm(b, axis=0, keepdims=True), 1e-12)
    return a @ b.T
""",
        "not a number for zeros": """
def cosine_similarity(a, b):
    a = a / np.linalg.norm(a, axis=1, keepdims=True)
    b = b / np.linalg.norm(b, axis=1, keepdims=True)
    return a @ b.T
""",
    },
    "neighbour_agreement": {
        "everyone is their own neighbour": """
def neighbour_agreement(features, labels):
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    return float(np.mean(labels[distances.argmin(axis=1)] == labels))
""",
        "leaves out every distance of zero": """
def neighbour_agreement(features, labels):
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    distances[distances == 0] = np.inf
    return float(np.mean(labels[distances.argmin(axis=1)] == labels))
""",
        "the farthest one": """
def neighbour_agreement(features, labels):
    distances = np.linalg.norm(features[:, None] - features[None], axis=-1)
    return float(np.mean(labels[distances.argmax(axis=1)] == labels))
""",
        "the largest product": """
def neighbour_agreement(features, labels):
    products = features @ features.T
    np.fill_diagonal(products, -np.inf)
    return float(np.mean(labels[products.argmax(axis=1)] == labels))
""",
    },
    "nearest_class_mean": {
        "the nearest example": """
def nearest_class_mean(train_features, train_labels, features, num_classes):
    distances = np.linalg.norm(features[:, None] - train_features[None], axis=-1)
    return train_labels[distances.argmin(axis=1)]
""",
        "the sum in place of the mean": """
def nearest_class_mean(train_features, train_labels, features, num_classes):
    sums = [train_features[train_labels == c].sum(axis=0) for c in range(num_classes)]
    distances = np.linalg.norm(features[:, None] - np.stack(sums)[None], axis=-1)
    return distances.argmin(axis=1)
""",
        "a mean of zeros for an absent class": """
def nearest_class_mean(train_features, train_labels, features, num_classes):
    means = np.zeros([num_classes, train_features.shape[1]])
    for c in np.unique(train_labels):
        means[c] = train_features[train_labels == c].mean(axis=0)
    return np.linalg.norm(features[:, None] - means[None], axis=-1).argmin(axis=1)
""",
        "the largest product with a mean": """
def nearest_class_mean(train_features, train_labels, features, num_classes):
    means = np.stack([train_features[train_labels == c].mean(axis=0) for c in np.unique(train_labels)])
    return np.unique(train_labels)[(features @ means.T).argmax(axis=1)]
""",
        "the position among the classes present": """
def nearest_class_mean(train_features, train_labels, features, num_classes):
    means = np.stack([train_features[train_labels == c].mean(axis=0) for c in np.unique(train_labels)])
    return np.linalg.norm(features[:, None] - means[None], axis=-1).argmin(axis=1)
""",
    },
    "confusion_matrix": {
        "rows and columns swapped": """
def confusion_matrix(labels, predicted, num_classes):
    counts = np.zeros([num_classes, num_classes], int)
    np.add.at(counts, (predicted, labels), 1)
    return counts
""",
        "each error counted once": """
def confusion_matrix(labels, predicted, num_classes):
    counts = np.zeros([num_classes, num_classes], int)
    counts[labels, predicted] += 1
    return counts
""",
        "only the classes that occur": """
def confusion_matrix(labels, predicted, num_classes):
    size = max(labels.max(), predicted.max()) + 1
    return np.array([[np.sum((labels == i) & (predicted == j)) for j in range(size)]
                     for i in range(size)])
""",
    },
    "conv_weights": {
        "no mix of the channels": """
def conv_weights(kernel_size, in_channels, out_channels):
    standard = kernel_size**2 * in_channels * out_channels
    return standard, kernel_size**2 * in_channels
""",
        "a filter for each output": """
def conv_weights(kernel_size, in_channels, out_channels):
    standard = kernel_size**2 * in_channels * out_channels
    return standard, kernel_size**2 * out_channels + in_channels * out_channels
""",
        "filters of one row": """
def conv_weights(kernel_size, in_channels, out_channels):
    standard = kernel_size * in_channels * out_channels
    return standard, kernel_size * in_channels + in_channels * out_channels
""",
        "with a bias": """
def conv_weights(kernel_size, in_channels, out_channels):
    standard = (kernel_size**2 * in_channels + 1) * out_channels
    return standard, kernel_size**2 * in_channels + (in_channels + 1) * out_channels
""",
    },
    "block_weights": {
        "filters on the narrow side": """
def block_weights(in_channels, out_channels, expansion):
    wide = in_channels * expansion
    widen = in_channels * wide if expansion > 1 else 0
    return widen + 9 * in_channels + wide * out_channels
""",
        "always widens": """
def block_weights(in_channels, out_channels, expansion):
    wide = in_channels * expansion
    return in_channels * wide + 9 * wide + wide * out_channels
""",
        "a standard convolution in the middle": """
def block_weights(in_channels, out_channels, expansion):
    wide = in_channels * expansion
    widen = in_channels * wide if expansion > 1 else 0
    return widen + 9 * wide * wide + wide * out_channels
""",
    },
}
