"""YAML as a verifier reads it: no aliases, no duplicate keys, no tags, bounded; the YAML 1.2 core types only.

PyYAML's safe loader expands aliases (304 bytes become 28 MB) and reads ``no`` as false and ``0o10`` as text.
"""

from __future__ import annotations

from typing import Any

from toolkit.verify.names import shown
from toolkit.verify.report import Refused

_MOST_BYTES = 1024**2
_MOST_DEPTH = 32
_WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}


def strict_yaml(data: bytes, what: str, stage: int) -> Any:
    """The document as plain values. Raises Refused (malformed)."""
    import yaml

    if len(data) > _MOST_BYTES:
        raise Refused(stage, "malformed", shown(what), f"at most {_MOST_BYTES} bytes", str(len(data)))
    try:
        text = data.decode("utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                raise Refused(stage, "malformed", shown(what), "plain YAML", "an anchor or alias")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        return _value(node, what, stage, 0) if node is not None else None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as problem:
        raise Refused(stage, "malformed", shown(what), "YAML", shown(str(problem).replace("\n", " "))) from problem


def _value(node: Any, what: str, stage: int, depth: int) -> Any:
    import yaml

    if depth > _MOST_DEPTH:
        raise Refused(stage, "malformed", shown(what), f"at most {_MOST_DEPTH} levels", "more")
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            name = str(key.value)
            if name in found or not isinstance(key, yaml.ScalarNode):
                raise Refused(stage, "malformed", shown(what), "every key once", shown(name))
            found[name] = _value(value, what, stage, depth + 1)
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(one, what, stage, depth + 1) for one in node.value]
    return _scalar(node)


def _scalar(node: Any) -> Any:
    text: str = node.value
    if node.style is not None:
        return text
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if text.isascii() and text.isdecimal() and (text == "0" or text[0] != "0") else text
