"""Applicability of attacks: the reason why one cannot be run, before anything is computed."""

import jax
import jax.numpy as jnp

from mamljax.attacks.base import Attack, name_of, no_image
from mamljax.attacks.knowledge import Knowledge


def inapplicable(
  attack: Attack, knowledge: Knowledge, image_shape: tuple[int, ...]
) -> str | None:
  """The reason why an attack cannot be run, found without computing anything; None if it can.

  Args:
    attack: an attack.
    knowledge: what the adversary knows; its arrays may be `jax.ShapeDtypeStruct`s.
    image_shape: height, width and channels of an image, or the features of a vector.
  """
  if (reason := unfit(attack, knowledge, image_shape)) is not None:
    return reason
  try:
    jax.eval_shape(lambda known: attack.prepare(jax.random.key(0), known), knowledge)
  except ValueError as error:  # which an InputError is
    return str(error)
  return None


def unfit(attack: Attack, knowledge: Knowledge, image_shape: tuple[int, ...]) -> str | None:
  """The reason why images or the network do not suit an attack; None if they do.

  It takes no time, and leaves the preparation out, which may refuse for other reasons. The
  arguments are those of `inapplicable`.
  """
  if (too_small := _too_small(attack, image_shape)) is not None:
    return too_small
  try:
    attack.check_model(knowledge, jax.ShapeDtypeStruct(image_shape, jnp.float32))
  except ValueError as error:
    return str(error)
  return None


def _too_small(attack: Attack, image_shape: tuple[int, ...]) -> str | None:
  """The reason why examples of a shape are no images for an attack; None if they are."""
  least = attack.smallest_image
  if least and len(image_shape) != 3:
    return no_image(attack, image_shape)
  if min(image_shape[:2]) < least:
    height, width = image_shape[:2]
    return (
      f'attack {name_of(attack)!r} needs images of at least {least} x {least} pixels, not '
      f'{height} x {width}'
    )
  return None
