#!/usr/bin/python3
"""Trains a random forest on scikit-learn's handwritten digits, as a job:

    JOB=$(et run -w -p trees=100 examples/scripts/sklearn_train.py) && et get $JOB/model.pkl

Parameters: trees (60), depth (null: no limit), seed (1).
"""
import json
import pickle
import sys

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split

STEP = 20


def main():
    parameters = json.loads(sys.argv[1])
    trees, seed = parameters.get('trees', 60), parameters.get('seed', 1)
    pictures, digits = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(pictures, digits, test_size=0.25, random_state=seed)
    forest = RandomForestClassifier(n_estimators=0, max_depth=parameters.get('depth'), warm_start=True,
                                    random_state=seed)
    for n in [*range(STEP, trees, STEP), trees]:
        forest.set_params(n_estimators=n).fit(train_x, train_y)
        accuracy = accuracy_score(test_y, forest.predict(test_x))
        print(json.dumps({'metric': 'accuracy', 'step': n, 'value': accuracy}))
    with open('artifacts/model.pkl', 'wb') as file:
        pickle.dump(forest, file)
    print(json.dumps({'accuracy': accuracy, 'trees': trees, 'pictures': len(train_x)}))


main()
