"""The stacks of both variants as one tree: what each call costs a request under base and head."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from adx_lab.analysis.functions.stacks import relative

if TYPE_CHECKING:
    from adx_lab.analysis.functions.stacks import Frame, StackProfile

__all__ = ["CallNode", "call_tree", "prune"]

OTHERS = "(smaller ones)"


@dataclass
class CallNode:
    """A function as it is called here, with everything that it calls.

    Attributes
    ----------
    name, file : str
    base_us, head_us : float
        Microseconds a request, with all below.
    """

    name: str
    file: str = ""
    base_us: float = 0.0
    head_us: float = 0.0
    calls: dict[tuple[str, str], CallNode] = field(default_factory=dict)

    @property
    def width_us(self) -> float:
        """What it takes in a picture: what is gone must be seen, too."""
        return max(self.base_us, self.head_us)

    @property
    def change_us(self) -> float:
        """Head less base."""
        return self.head_us - self.base_us

    def walk(self, depth: int = 0) -> Iterator[tuple[int, CallNode]]:
        """Yield this and all below, with their depths."""
        yield depth, self
        for call in self.calls.values():
            yield from call.walk(depth + 1)

    def add(self, us: float, *, head: bool) -> None:
        """Add microseconds of one side."""
        if head:
            self.head_us += us
        else:
            self.base_us += us


def call_tree(blocks: Sequence[tuple[StackProfile, StackProfile]]) -> CallNode:
    """Merge the stacks of all blocks into one tree; each block counts alike."""
    root = CallNode("all")
    count = max(1, len(blocks))
    for pair in blocks:
        for head, profile in enumerate(pair):
            if not profile.samples or profile.requests <= 0:
                continue
            each_us = profile.cpu_us / profile.samples / profile.requests / count
            for stack, samples in profile.stacks.items():
                _add(root, stack, samples * each_us, profile.root, head=bool(head))
    return root


def _add(root: CallNode, stack: Sequence[Frame], us: float, source: str, *, head: bool) -> None:
    here = root
    here.add(us, head=head)
    for frame in stack:
        # The variants' sources lie in folders of their own: within them their files are the same.
        file = (relative(frame.file, source) or frame.file) if frame.file else ""
        key = (frame.name, file)
        here = here.calls.setdefault(key, CallNode(frame.name, file))
        here.add(us, head=head)


def prune(root: CallNode, count: int) -> CallNode:
    """Return the tree with at most about so many calls: the narrowest of each parent become one."""
    widths = sorted((call.width_us for _, call in root.walk()), reverse=True)
    least = widths[count] if len(widths) > count else 0.0
    return _pruned(root, least)


def _pruned(call: CallNode, least: float) -> CallNode:
    made = CallNode(call.name, call.file, call.base_us, call.head_us)
    small = CallNode(OTHERS)
    for key, below in call.calls.items():
        if below.width_us > least:
            made.calls[key] = _pruned(below, least)
        else:
            small.add(below.base_us, head=False)
            small.add(below.head_us, head=True)
    if small.width_us > least:
        made.calls[OTHERS, ""] = small
    return made
