#!/usr/bin/python3
"""A Boss's script: regression of one column of a table, cross-validated.

    wine.py '{"projectName": "wine_data", "dependentVariable": "proline", ...}'

The one argument is the Job as JSON; the last line printed is the Outcome.
Without a file named by dataFileName beside this script it takes the wine
data that come with scikit-learn: 178 wines, 13 measured columns.

Of the Job's parameters scikit-learn's network knows no l1, no dropout and
only the optimizers adam and sgd; what was not used is told in the Outcome.
"""
import csv
import json
import os
import sys
import warnings

import numpy as np
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectFromModel
from sklearn.metrics import mean_squared_error
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

SEED = 20181021
FOLDS = 3


def read_table(job):
    """Names of the columns, and the rows as numbers."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), os.path.basename(job.get('dataFileName', '')))
    if os.path.isfile(path):
        with open(path, newline='') as file:
            names, *rows = csv.reader(file)
        return names, np.array(rows, dtype=float)
    wine = load_wine()
    return list(wine.feature_names), wine.data


def read_data(job):
    names, rows = read_table(job)
    wanted = job.get('dependentVariable') or job.get('depedentVariable')
    if wanted not in names:
        raise ValueError('there is no column %r; there are %s' % (wanted, ', '.join(names)))
    column = names.index(wanted)
    y = rows[:, column]
    keep = (y >= job.get('minDependentVarValue', -np.inf)) & (y <= job.get('maxDependentVarValue', np.inf))
    if keep.sum() < 2 * FOLDS:
        raise ValueError('only %d rows have %s within the wanted range' % (keep.sum(), wanted))
    return np.delete(rows, column, axis=1)[keep], y[keep]


class Scaled(MLPRegressor):
    """Learns the target in units of its deviation, so that rates mean the same for any column."""

    def fit(self, X, y):
        self.mean_, self.deviation_ = y.mean(), y.std() or 1.0
        return super().fit(X, (y - self.mean_) / self.deviation_)

    def predict(self, X):
        return super().predict(X) * self.deviation_ + self.mean_


def build(job, n_rows, n_columns, unused):
    layers = job.get('hiddenLayers') or [{'widthModifier': 1, 'activation': 'relu'}]
    activations = {layer.get('activation', 'relu') for layer in layers}
    optimizer = job.get('optimizer', 'adam')
    epochs = max(1, int(job.get('epochs', 200)))
    unused += [name for name in ('l1', 'lastLayerActivator') if job.get(name)]
    unused += ['dropout'] if any(layer.get('dropout') for layer in layers) else []
    unused += ['optimizer'] if optimizer not in ('adam', 'sgd') else []
    steps = [MinMaxScaler() if job.get('scalerType') == 'minmax' else StandardScaler()]
    if job.get('extraTreesKeepThreshd', 0) > 0:
        trees = ExtraTreesRegressor(n_estimators=50, random_state=SEED)
        steps.append(SelectFromModel(trees, threshold=job['extraTreesKeepThreshd']))
    if job.get('pcaComponents', -1) > 0:
        steps.append(PCA(min(job['pcaComponents'], n_columns)))
    steps.append(Scaled(
        hidden_layer_sizes=[max(1, round(n_columns * layer.get('widthModifier', 1))) for layer in layers],
        activation='relu' if 'relu' in activations else sorted(activations)[0],
        solver=optimizer if optimizer in ('adam', 'sgd') else 'adam',
        alpha=job.get('l2', 0.0001),
        learning_rate_init=job.get('learningRate', 0.001),
        batch_size=max(1, min(int(job.get('batchSize', 200)), n_rows * (FOLDS - 1) // FOLDS)),
        max_iter=epochs,
        n_iter_no_change=max(2, round(epochs * job.get('patienceRate', 0.05))),
        random_state=SEED))
    return make_pipeline(*steps)


def run(job):
    X, y = read_data(job)
    unused = []
    model = build(job, len(y), X.shape[1], unused)
    print('%d rows, %d columns, %d epochs at most' % (len(y), X.shape[1], job.get('epochs', 200)), flush=True)
    scoring = job.get('crossValidationCrossingType', 'neg_mean_squared_error')
    folds = KFold(FOLDS, shuffle=True, random_state=SEED)
    scores = cross_val_score(model, X, y, scoring=scoring, cv=folds)
    for score in scores:
        print('fold: %s %.6g' % (scoring, score), flush=True)
    loss = mean_squared_error(y, model.fit(X, y).predict(X))
    return {'status': 'completed', 'loss': loss, 'metric': abs(scores.mean()), 'rows': len(y),
            'variance': float(y.var()), 'unused': unused}


def main():
    job = json.loads(sys.argv[1])
    warnings.simplefilter('ignore', ConvergenceWarning)
    try:
        outcome = run(job)
    except (ValueError, KeyError, OSError) as error:
        outcome = {'status': 400, 'error': str(error)}
    outcome['orderId'] = job.get('assignmentId')
    print(json.dumps(outcome))


if __name__ == '__main__':
    main()
