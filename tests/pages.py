"""A page as a reader's program sees it."""

import re
from html.parser import HTMLParser

VOID = {"meta", "br", "img", "line", "circle", "polyline"}


class Page(HTMLParser):
    """The page as text, its tags, and whether each tag was closed in order."""

    def __init__(self, source):
        super().__init__()
        self.tags, self.open, self.words, self.links = [], [], [], []
        self.feed(source)
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.words))

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for key, value in attrs if key in ("src", "href")]
        assert not any(key.startswith("on") for key, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
