"""results.csv says what the cells say, and what the paper prints of the same game only."""

import csv
import dataclasses
from typing import Any

import pytest

from experiments.analysis import results_csv
from experiments.config.columns import FIELDS
from experiments.store import cells
from mamljax.audit.metrics import Metrics, Rate
from mamljax.errors import InputError
from tests.experiments.reported import make_result

METRICS = Metrics(
  Rate(0.95, 0.9, 0.98), Rate(0.9, 0.8, 0.97), None, Rate(0.99, 0.98, 1.0), 0.5, None, 1 / 3
)


def configured(**changes) -> cells.CellResult:
  """A result of MNIST."""
  fields: Any = {'dataset': 'mnist'} | changes
  return make_result(**fields)


def read_csv(path) -> list[dict[str, str]]:
  with path.open(newline='') as file:
    return list(csv.DictReader(file))


def test_csv_has_the_promised_columns_in_order(tmp_path):
  """Scripts rely on these names and on their order."""
  header = results_csv.write_csv(tmp_path, []).read_text().splitlines()[0]
  assert header.startswith(
    'dataset,network,ways,shots,target,attack,order,inner_steps,inner_learning_rate,epoch,'
    'defence,noise_scale,iterations,trials,accuracy,accuracy_low,accuracy_high,recall,'
    'precision,auc,auc_low,auc_high,tpr_at_fpr_1pct,tpr_at_fpr_0.1pct,threshold,'
    'seconds_per_trial,compile_seconds,paper_accuracy,paper_recall,paper_precision'
  )
  assert len(set(header.split(','))) == len(header.split(','))


def test_the_rest_of_the_configuration_follows():
  """Else two cells that differ in it would stand in the table as one."""
  found = [make_result(tv_weight=weight) for weight in (0.1, 0.2)]
  header = results_csv.header([result.columns for result in found])
  rest = [name for name in FIELDS if name not in results_csv.COLUMNS]
  assert header == [*results_csv.COLUMNS, *rest, 'reconstruction.tv_weight']


def test_csv_says_what_the_cell_says(tmp_path):
  """Every number under its own name, exactly; an absent one empty, never 'None' or 0."""
  result = dataclasses.replace(
    configured(),
    metrics=METRICS,
    timings={'seconds_per_trial': 0.1 + 0.2, 'compile_seconds': 1},
  )
  (line,) = read_csv(results_csv.write_csv(tmp_path, [result]))
  assert float(line['accuracy']) == 0.95
  assert (line['auc_low'], line['auc_high']) == ('0.98', '1.0')
  assert (line['precision'], line['precision_low'], line['tpr_at_fpr_0.1pct']) == ('', '', '')
  assert line['tpr_at_fpr_1pct'] == '0.5'
  assert float(line['threshold']) == 1 / 3
  assert float(line['seconds_per_trial']) == 0.1 + 0.2
  assert (line['paper_accuracy'], line['paper_recall']) == ('0.92', '0.98')
  assert line['hash'] == result.hash


def test_what_was_measured_besides_has_its_columns(tmp_path):
  """Learning and labels, where they were measured; empty where they were not."""
  learning = {'epoch': 3, 'accuracy': 0.8, 'low': 0.7, 'high': 0.9, 'tasks': 400}
  extra = {'learning': learning, 'label_accuracy': 0.75}
  found = read_csv(results_csv.write_csv(tmp_path, [make_result(extra=extra), make_result()]))
  names = ('learning_accuracy', 'learning_low', 'learning_high', 'label_accuracy')
  assert [[line[name] for name in names] for line in found] == [
    ['0.8', '0.7', '0.9', '0.75'],
    [''] * 4,
  ]


def test_no_number_takes_the_place_of_what_was_asked(tmp_path):
  """The precision of matrix products was lost under the metric of that name."""
  result = dataclasses.replace(configured(matmul_precision='high'), metrics=METRICS)
  line = results_csv.row(result)
  assert (line['matmul_precision'], line['precision']) == ('high', None)
  assert {name: line[name] for name in result.columns} == result.columns


def test_csv_rows_keep_the_order_given(tmp_path):
  """Rows stand in grid order, whichever cell finished first."""
  ways = [7, 3, 5]
  found = [make_result(ways=way) for way in ways]
  lines = read_csv(results_csv.write_csv(tmp_path, found))
  assert [int(line['ways']) for line in lines] == ways


@pytest.mark.parametrize(
  ('change', 'shown'),
  [
    ({}, True),
    ({'dataset': 'mnist_sample'}, True),
    ({'defence': 'query_noise', 'noise_scale': 0.1}, False),
    ({'defence': 'query_noise', 'noise_mean': 0.1}, False),
    ({'attack': 'row_space'}, False),
    ({'order': 1}, False),
    ({'order': 1, 'assumed_order': 2}, False),
    ({'target': 'support', 'assumed_order': 1}, False),
    ({'assumed_order': 2}, True),
    ({'learners': 2}, False),
    ({'labels': 'inferred'}, False),
    ({'judge': 'mse'}, False),
    ({'pool': 'calibration'}, False),
    ({'dataset': 'kmnist'}, False),
    ({'ways': 4}, False),
  ],
)
def test_the_papers_number_stands_only_beside_its_own_experiment(change, shown):
  """Beside another attack, another game or a defended model it would compare unlike things."""
  value = results_csv.row(configured(**change))['paper_accuracy']
  assert value == (0.92 if shown else None)


@pytest.mark.parametrize('folder', ['file', 'file/deeper', 'occupied'])
def test_a_folder_that_cannot_be_written_is_an_input_error(tmp_path, folder):
  """One line that names the folder, however late it is found out."""
  (tmp_path / 'file').write_text('kept')
  (tmp_path / 'occupied' / 'results.csv').mkdir(parents=True)
  with pytest.raises(InputError, match=str(tmp_path / folder)) as caught:
    results_csv.write_csv(tmp_path / folder, [make_result()])
  assert '\n' not in str(caught.value)
  assert not list(tmp_path.rglob('*.tmp'))
