"""TwiML text to a checked tree. What the schema does not know is a 12200, what is not XML a 12100. It runs nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from xml.etree import ElementTree

from emulators.twilio.schema import SHAPES, Shape
from emulators.twilio.values import TwilioFault


@dataclass(frozen=True, slots=True)
class Node:
    name: str
    attributes: dict[str, str]
    children: tuple[Node, ...]
    text: str

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def flag(self, name: str, default: bool = False) -> bool:
        return self.attributes.get(name, str(default).lower()) == "true"

    def number(self, name: str, default: int) -> int:
        return int(self.attributes.get(name, default))


Warn = Callable[[str], None]


def parse_document(body: bytes | str, *, warn: Warn) -> Node:
    """Calls `warn` for every schema warning (12200) and leaves the offender out. Raises TwilioFault 12100."""
    text = body.decode("utf-8", errors="replace") if isinstance(body, bytes) else body
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise TwilioFault(12100, "a document type declaration is no TwiML")
    try:
        root = ElementTree.fromstring(text.strip())  # noqa: S314 - no DTD got this far, so no entity can expand
    except ElementTree.ParseError as error:
        raise TwilioFault(12100, f"document parse failure: {error}") from error
    if root.tag != "Response":
        raise TwilioFault(12100, f"the root element is <{root.tag}>, not <Response>")
    return _read(root, "Response", SHAPES["Response"], warn)


def _read(element: ElementTree.Element, path: str, shape: Shape, warn: Warn) -> Node:
    attributes: dict[str, str] = {}
    for name, value in element.attrib.items():
        check = shape.attributes.get(name)
        if check is None:
            warn(f"{path}: unknown attribute {name!r}")
        elif not check(value):
            warn(f"{path}: attribute {name}={value!r} is not allowed")
        else:
            attributes[name] = value
    for name in sorted(shape.required - attributes.keys()):
        warn(f"{path}: attribute {name!r} is missing")
    children: list[Node] = []
    words = [element.text or ""]
    for child in element:
        words.append(child.tail or "")
        if child.tag not in shape.children:
            warn(f"{path}: <{child.tag}> is not allowed here or not known to this double")
            continue
        child_path = child.tag if path == "Response" else f"{path}/{child.tag}"
        children.append(_read(child, child_path, SHAPES[child_path], warn))
    text = "".join(words).strip()
    if text and not shape.text:
        warn(f"{path}: text {text[:40]!r} is not allowed here")
        text = ""
    return Node(element.tag, attributes, tuple(children), text)
