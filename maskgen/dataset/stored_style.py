"""The style of a data set's masks: from its settings, and from the textures that are stored in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ..errors import MaskgenError, short
from ..imaging.styles import FLAT, Style
from ..imaging.textures import MAX_STORED_BYTES, MAX_TEXTURES, Texture, stored_texture
from ..imaging.variants import STYLES
from .markers import TEXTURES, is_hash

if TYPE_CHECKING:
    from ..storage.base import Storage


def flaw(made: Mapping[str, Any]) -> str:
    """What is wrong with the style in the settings of a data set, which may come from anyone; empty if nothing is."""
    style, textures, seed = made.get("style", "flat"), made.get("textures", []), made.get("seed")
    if style not in STYLES:
        return "its style is unknown"
    if not isinstance(textures, list) or not all(map(is_hash, textures)) or len(textures) > MAX_TEXTURES:
        return "its textures are not hashes"
    if (style == "texture") != bool(textures) or len(set(textures)) != len(textures):
        return "its textures are not those of its style"
    if style != "flat" and (not isinstance(seed, int) or isinstance(seed, bool) or abs(seed) >= 2**63):
        return "its seed is not a number"
    return ""


def stored_style(storage: Storage, made: Mapping[str, Any]) -> Style:
    """The style of a data set with these settings. Raises `MaskgenError` if a texture is missing or damaged."""
    if made.get("style", "flat") == "flat":
        return FLAT
    place: Any = storage  # both kinds are hashable
    return _style(place, made["style"], made["seed"], tuple(made.get("textures", ())))


def store_textures(storage: Storage, textures: Sequence[Texture]) -> None:
    """Writes the textures that are not there yet, or not whole."""
    for texture in textures:
        name = _name(texture.sha256)
        if not storage.exists(name) or storage.sha256(name) != texture.sha256:
            storage.write(name, texture.png)


@lru_cache(maxsize=4)
def _style(storage: Any, name: str, seed: int, hashes: tuple[str, ...]) -> Style:
    return Style(name, seed, tuple(_texture(storage, sha256) for sha256 in hashes))


def _texture(storage: Storage, sha256: str) -> Texture:
    name = _name(sha256)
    try:
        if (size := storage.size(name)) > MAX_STORED_BYTES:
            raise ValueError(f"it has {size:,} bytes")
        texture = stored_texture(storage.read(name, size))
        if texture.sha256 != sha256:
            raise ValueError("its bytes are not those of its name")
    except FileNotFoundError:
        raise _broken(storage, name, "is missing") from None
    except (OSError, ValueError) as error:
        raise _broken(storage, name, f"cannot be used ({short(error)})") from None
    return texture


def _broken(storage: Storage, name: str, what: str) -> MaskgenError:
    return MaskgenError(f"the texture {storage}/{name} {what}; run the same `maskgen build` command again.")


def _name(sha256: str) -> str:
    return f"{TEXTURES}/{sha256}.png"
