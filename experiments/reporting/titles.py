"""What the folders of results are called and ask; named like their flagfiles."""

from typing import NamedTuple


class Title(NamedTuple):
  """The heading of a run, its question, and what the paper says; '' for nothing."""

  heading: str
  question: str
  claim: str = ''


_AREAS = (
  'The paper marks a confident noise area, where the attack is weak and the model still '
  'learns. It finds it larger for the support attack, and noise on query data worth more '
  'than noise on support data.'
)

# In the order of the report.
_TITLES = {
  'table1': Title(
    'Table I: the support attack',
    'Can the meta-learner tell whether an image is in the support set, which the gradient '
    'shows only through the adaptation?',
  ),
  'table2': Title(
    'Table II: the query attack',
    'Can the meta-learner tell whether an image is in the query set, whose loss the gradient '
    'is of?',
  ),
  'table1_strong': Title(
    "Table I by the curvature filter and the paper's attack",
    'How do they compare on identical trials?',
  ),
  'table1_row_space': Title(
    'Table I by the row space',
    'Is the candidate in the span of the gradient of a fully connected first layer?',
  ),
  'table1_shadow': Title(
    'Table I by the shadow matched filter',
    'Does the gradient look like those of support sets with the candidate in them?',
  ),
  'table1_curvature': Title(
    'Table I by the curvature filter',
    "Has the candidate's own curvature bent the gradient, among those of public images?",
  ),
  'table2_row_space': Title(
    'Table II by the row space',
    'Is the candidate in the span of the gradient of a fully connected first layer?',
  ),
  'table1_mlp_reconstruction': Title(
    "Table I by the paper's attack on a fully connected network",
    'How does it compare with the row space, on the same trials?',
  ),
  'table2_mlp_reconstruction': Title(
    "Table II by the paper's attack on a fully connected network",
    'How does it compare with the row space, on the same trials?',
  ),
  'table_trained_row_space': Title(
    'Tables I and II by the row space on trained models', 'Does a trained network leak less?'
  ),
  'recovery': Title(
    'The images of a task, read off its gradient', 'How many of the tasks are read whole?'
  ),
  'table2_strong': Title(
    "Table II by the matched filter, other attacks and the paper's",
    'How do they compare on identical trials?',
  ),
  'table2_noise_filter': Title(
    'Table II by the noise filter',
    "Is the candidate's own gradient one of those that the received one is the mean of?",
  ),
  'noise_filter': Title(
    'Four noises against the filter that knows them',
    'How much noise hides the query set from whoever knows how much it is?',
  ),
  'noise_curvature_filter': Title(
    'Noise against the curvature filter, which knows it',
    'How much noise hides the support set from whoever knows how much it is?',
  ),
  'noise_participations': Title(
    'Noise, and tasks that take part again',
    'Does noise that protects one gradient protect sixteen, if it is drawn anew each time?',
  ),
  'participations': Title(
    'A trained model, and tasks that take part again',
    'How much more do two, five and ten gradients of the same task give away?',
  ),
  'judges': Title(
    'One reconstruction, three judges',
    'Is SSIM the best that a reconstruction can be judged by, on the same trials?',
  ),
  'table3': Title(
    'Table III: the time a support attack takes',
    'How long does a candidate take, by the size of the attacked set and the iterations?',
    'The paper: a few seconds to half a minute, more with data and with iterations.',
  ),
  'table4': Title(
    'Table IV: the time a query attack takes',
    'How long does a candidate take, by the size of the attacked set and the iterations?',
    'The paper: one second to a quarter of a minute, faster than the support attack.',
  ),
  'figure4': Title(
    'Figure 4: what goes into the attack, and what comes out',
    'Does a member survive the reconstruction, and does a non-member turn into another image?',
    'The paper: members stay as they are, non-members change towards a true member.',
  ),
  'figure5': Title(
    'Figure 5: more classes',
    'Is a task with more classes harder to attack?',
    'The paper: the number of classes hardly matters.',
  ),
  'figure6': Title(
    'Figure 6: more images of each class',
    'Is a task with more images of each class harder to attack?',
    'The paper: the accuracy of both attacks falls as the shots rise.',
  ),
  'figure7': Title(
    'Figure 7: the query attack while the model is trained',
    'When in meta-training does the query set leak most?',
    'The paper: on the untrained model; the accuracy falls with training.',
  ),
  'figure8': Title(
    'Figure 8: the support attack while the model is trained',
    'When in meta-training does the support set leak most?',
    'The paper: on a partly trained model.',
  ),
  'figure9': Title(
    'Figure 9: noise against the query attack, MNIST',
    'How much noise stops the attack, and what does learning pay for it?',
    _AREAS,
  ),
  'figure10': Title(
    'Figure 10: noise against the support attack, MNIST',
    'How much noise stops the attack, and what does learning pay for it?',
    _AREAS,
  ),
  'figure11': Title(
    'Figure 11: noise against the query attack, Fashion-MNIST',
    'How much noise stops the attack, and what does learning pay for it?',
    _AREAS,
  ),
  'figure12': Title(
    'Figure 12: noise against the support attack, Fashion-MNIST',
    'How much noise stops the attack, and what does learning pay for it?',
    _AREAS,
  ),
  'figure13': Title(
    'Proposition 3.1: different data, the same gradient',
    'Can a task with other images send exactly the same gradient?',
    'The paper: yes, for some networks, such as a single neuron.',
  ),
  'noise_row_space': Title(
    'What protects from the row space',
    'Which of the four noises hides an image from the strongest attack, and from any at all?',
  ),
  'leak_training_row_space': Title(
    'Training against the row space', 'Does a trained network leak less?'
  ),
  'leak_training_filter': Title(
    'Training against the matched filter', 'Does a trained network leak less?'
  ),
  'leak_inner_rate': Title(
    'The inner rate against the matched filter', 'Does a larger inner step protect?'
  ),
  'leak_first_order': Title(
    'First-order MAML against the row space',
    'Is the support set safe if its Hessian is not sent?',
  ),
  'learning': Title('How well the models learn', 'What is meta-training worth on new tasks?'),
  'quickstart': Title(
    'Quickstart', 'Does one gradient give away who is in the query set of a small task?'
  ),
}

_QUESTIONS = {
  'sweep': 'How well does the attack tell members from non-members?',
  'train': 'How well do the models learn new tasks?',
  'runtime': 'How long does an attacked candidate take?',
  'identifiability': 'Can different data send the same gradient?',
}


def title(name: str, kind: str) -> Title:
  """The title of a run; any other than the paper's has its folder's name."""
  return _TITLES.get(name) or Title(name.replace('_', ' '), _QUESTIONS.get(kind, ''))


def position(name: str) -> tuple[int, str]:
  """Sorts runs: the paper's tables, its figures, then the rest by name."""
  known = list(_TITLES)
  return (known.index(name) if name in known else len(known), name)
