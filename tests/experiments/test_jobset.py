"""launch/jobset.yaml: its fields are those of Kubernetes, and what it says fits the sweep.

There is no cluster to run it on. `FIELDS` states the fields that such a file may have here,
with their types, as JobSet v1alpha2 (kubernetes-sigs/jobset, in
api/jobset/v1alpha2/jobset_types.go) and batch/v1 (kubernetes/api, batch/v1/types.go) have them.
"""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from absl.testing import flagsaver

from experiments.config import flags, sharing
from experiments.process import preemption
from tests.experiments.tiny import ROOT

PATH = ROOT / 'launch' / 'jobset.yaml'
EXIT_CODES = {'containerName': str, 'operator': {'In', 'NotIn'}, 'values': [int]}
CONDITION = {'type': str, 'status': {'True', 'False', 'Unknown'}}
POD_RULE = {
  'action': {'FailJob', 'Ignore', 'Count', 'FailIndex'},
  'onExitCodes': EXIT_CODES,
  'onPodConditions': [CONDITION],
}
CONTAINER = {
  'name': str,
  'image': str,
  'workingDir': str,
  'command': [str],
  'args': [str],
  'env': [{'name': str, 'value': str, 'valueFrom': {'fieldRef': {'fieldPath': str}}}],
  'ports': [{'name': str, 'containerPort': int}],
  'resources': {'limits': {str: (str, int)}, 'requests': {str: (str, int)}},
  'volumeMounts': [{'name': str, 'mountPath': str, 'readOnly': bool}],
  'securityContext': {
    'allowPrivilegeEscalation': bool,
    'readOnlyRootFilesystem': bool,
    'capabilities': {'drop': [str], 'add': [str]},
  },
}
POD = {
  'restartPolicy': {'Never', 'OnFailure'},
  'terminationGracePeriodSeconds': int,
  'nodeSelector': {str: str},
  'automountServiceAccountToken': bool,
  'securityContext': {
    'runAsNonRoot': bool,
    'runAsUser': int,
    'runAsGroup': int,
    'fsGroup': int,
    'seccompProfile': {'type': {'RuntimeDefault', 'Unconfined', 'Localhost'}},
  },
  'containers': [CONTAINER],
  'volumes': [
    {
      'name': str,
      'persistentVolumeClaim': {'claimName': str},
      'emptyDir': {'medium': str, 'sizeLimit': str},
    }
  ],
}
JOB = {
  'parallelism': int,
  'completions': int,
  'completionMode': {'Indexed', 'NonIndexed'},
  'backoffLimit': int,
  'podFailurePolicy': {'rules': [POD_RULE]},
  'template': {'metadata': {'annotations': {str: str}, 'labels': {str: str}}, 'spec': POD},
}
SET_RULE = {
  'name': str,
  'action': {'FailJobSet', 'RestartJobSet', 'RestartJobSetAndIgnoreMaxRestarts'},
  'onJobFailureReasons': [
    {
      'BackoffLimitExceeded',
      'DeadlineExceeded',
      'FailedIndexes',
      'MaxFailedIndexesExceeded',
      'PodFailurePolicy',
    }
  ],
  'targetReplicatedJobs': [str],
}
REPLICATED = {'name': str, 'replicas': int, 'template': {'metadata': {}, 'spec': JOB}}
FIELDS = {
  'apiVersion': {'jobset.x-k8s.io/v1alpha2'},
  'kind': {'JobSet'},
  'metadata': {'name': str, 'namespace': str, 'annotations': {str: str}, 'labels': {str: str}},
  'spec': {
    'failurePolicy': {'maxRestarts': int, 'rules': [SET_RULE]},
    'network': {'subdomain': str, 'enableDNSHostnames': bool},
    'suspend': bool,
    'ttlSecondsAfterFinished': int,
    'replicatedJobs': [REPLICATED],
  },
}


def wrong(value: Any, fields: Any, where: str = '') -> list[str]:
  """The places of a value that the fields do not allow.

  Args:
    value: of a YAML file.
    fields: a type or types, a set of words, a list of one kind, or a dict by name.
    where: the value's own place.
  """
  if isinstance(fields, set):
    return [] if value in fields else [where]
  if isinstance(fields, list):
    there = value if isinstance(value, list) else []
    errors = [wrong(item, fields[0], f'{where}[{i}]') for i, item in enumerate(there)]
    return sum(errors, [] if there else [where])
  if isinstance(fields, dict):
    there = value if isinstance(value, dict) else {}
    errors = [
      wrong(v, fields.get(k, fields.get(str, ())), f'{where}.{k}') for k, v in there.items()
    ]
    return sum(errors, [] if there else [where])
  plain = not isinstance(value, bool) or fields is bool  # in Python True is an int
  return [] if plain and isinstance(value, fields) else [where]


@pytest.fixture
def jobset() -> dict[str, Any]:
  return yaml.safe_load(PATH.read_text())


def job(jobset: dict[str, Any]) -> dict[str, Any]:
  """The one replicated job."""
  (replicated,) = jobset['spec']['replicatedJobs']
  return replicated


def pod(jobset: dict[str, Any]) -> dict[str, Any]:
  """The pods of its jobs."""
  return job(jobset)['template']['spec']['template']['spec']


def test_every_field_is_one_of_kubernetes(jobset):
  """Else `kubectl apply` refuses the file, on a cluster that costs money."""
  assert wrong(jobset, FIELDS) == []


@pytest.mark.parametrize(
  ('before', 'after', 'where'),
  [
    ('maxRestarts: 10', 'maxRestart: 10', '.spec.failurePolicy.maxRestart'),
    ('maxRestarts: 10', 'maxRestarts: "10"', '.spec.failurePolicy.maxRestarts'),
    ('action: FailJobSet', 'action: FailJob', '.spec.failurePolicy.rules[0].action'),
    ('replicas: 4', 'replica: 4', '.spec.replicatedJobs[0].replica'),
    ('backoffLimit: 0', 'backOffLimit: 0', 'template.spec.backOffLimit'),
    ('values: [75]', 'values: [EX]', 'rules[1].onExitCodes.values[0]'),
    ('status: "True"', 'status: true', 'rules[2].onPodConditions[0].status'),
    ('fieldPath', 'path', 'containers[0].env[0].valueFrom.fieldRef.path'),
  ],
)
def test_a_wrong_field_is_found(before, after, where):
  """The statement of the fields must be able to refuse."""
  text = PATH.read_text()
  assert before in text
  (found,) = wrong(yaml.safe_load(text.replace(before, after)), FIELDS)
  assert found.endswith(where)


def test_the_names_and_statuses_fit_each_other(jobset):
  """What the server takes may still wait forever for a pod of another name."""
  spec, (container,) = job(jobset)['template']['spec'], pod(jobset)['containers']
  assert spec['completions'] == spec['parallelism']
  assert spec['completionMode'] == 'Indexed'  # JOB_COMPLETION_INDEX is there
  assert pod(jobset)['restartPolicy'] == 'Never'  # a policy for failed pods asks for it
  assert {m['name'] for m in container['volumeMounts']} == {
    volume['name'] for volume in pod(jobset)['volumes']
  }
  mended, stopped, evicted = spec['podFailurePolicy']['rules']
  codes = [rule['onExitCodes'] for rule in (mended, stopped)]
  assert {rule['containerName'] for rule in codes} == {container['name']}
  assert [rule['values'] for rule in codes] == [[2], [preemption.STATUS]]
  assert [rule['action'] for rule in (mended, stopped, evicted)] == ['FailJob', *['Ignore'] * 2]
  (rule,) = jobset['spec']['failurePolicy']['rules']
  assert rule['onJobFailureReasons'] == ['PodFailurePolicy']  # how FailJob ends a job


def test_a_pod_has_no_more_rights_than_it_needs(jobset):
  """It ran as root, with the cluster's token, without bounds, from whatever `latest` was."""
  spec, (container,) = pod(jobset), pod(jobset)['containers']
  assert spec['automountServiceAccountToken'] is False
  assert spec['securityContext']['runAsNonRoot'] is True
  assert spec['securityContext']['seccompProfile'] == {'type': 'RuntimeDefault'}
  assert container['securityContext'] == {
    'allowPrivilegeEscalation': False,
    'readOnlyRootFilesystem': True,
    'capabilities': {'drop': ['ALL']},
  }
  assert {'cpu', 'memory'} <= {*container['resources']['limits']}
  assert re.search(r'(:(?!latest$)[\w.-]+|@sha256:\w+)$', container['image'])


@pytest.mark.parametrize(('replica', 'index'), [(0, 0), (3, 1)])
def test_a_pod_starts_its_share_with_its_peers(jobset, tmp_path, replica, index):
  """Run as the kubelet would, with a python that says how it was called."""
  told = {'JOB_INDEX': str(replica), 'JOB_COMPLETION_INDEX': str(index)}
  said = _start(pod(jobset)['containers'][0], told, tmp_path)
  *environment, typed = said.splitlines()
  port = pod(jobset)['containers'][0]['ports'][0]['containerPort']
  name = f'{jobset["metadata"]["name"]}-{job(jobset)["name"]}-{replica}-0'
  subdomain = jobset['spec'].get('network', {}).get('subdomain', jobset['metadata']['name'])
  completions = job(jobset)['template']['spec']['completions']
  assert environment == [f'{name}.{subdomain}:{port}', str(completions), str(index)]
  module, *arguments = typed.removeprefix('-m ').split()
  assert module == 'experiments.sweep'
  with flagsaver.flagsaver():
    flags.FLAGS(['sweep', *arguments])
    assert sharing.read()[:2] == (job(jobset)['replicas'], replica)


def _start(container: dict[str, Any], told: dict[str, str], folder: Path) -> str:
  """What the container's command makes of these variables."""
  python = folder / 'python'
  names = ('JAX_COORDINATOR_ADDRESS', 'JAX_NUM_PROCESSES', 'JAX_PROCESS_ID')
  lines = ['#!/bin/bash', *(f'echo "${name}"' for name in names), 'echo "$@"']
  python.write_text('\n'.join(lines))
  python.chmod(0o755)
  assert {variable['name'] for variable in container['env']} <= {*told}
  ran = subprocess.run(
    [*container['command'], *container['args']],
    env={'PATH': f'{folder}:/usr/bin:/bin'} | told,
    capture_output=True,
    text=True,
    check=True,
  )
  return ran.stdout
