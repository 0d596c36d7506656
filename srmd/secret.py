"""Values that must not be seen: printing, logging and comparing them is safe by construction.

What compares and decodes them is imported late: a short command does neither.
"""

from __future__ import annotations

HIDDEN = "(hidden)"
"""What is shown in the place of a secret, everywhere."""


class Secret:
    """A token or a key.  Only `reveal` and `text` give it away, and they are easy to search for."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes | str) -> None:
        self._value = value.encode() if isinstance(value, str) else value

    def reveal(self) -> bytes:
        return self._value

    def text(self) -> str:
        return self._value.decode()

    def __repr__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        """Equal in constant time, so that a guess learns nothing from the clock."""
        import hmac  # late, see above

        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled: it would be written in the clear")


def key_from_text(text: str) -> bytes:
    """The bytes of a key that is written as hex or, failing that, as base64 (standard or URL-safe).

    Hex is tried first: a key that could be read both ways is hex.
    Raises ValueError, which does not hold the text.
    """
    import base64  # late, see above
    import binascii

    try:
        return bytes.fromhex(text)
    except ValueError:
        standard = text.translate({ord("-"): "+", ord("_"): "/"})
    try:
        return base64.b64decode(standard, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("neither hex nor base64") from None
