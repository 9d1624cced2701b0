"""Reading the pages we write: whole, safe, and asking nothing of the network."""

import re
from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """A page that must close what it opens."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.text = [], Counter(), Counter(), [], []
        self.handlers = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags[tag] += 1
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        self.ids.update([given["id"]] if "id" in given else [])
        self.links += [given[a] for a in ("src", "href", "xlink:href", "action") if a in given]
        self.handlers += [name for name in given if name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def check_page(text):
    page = Page(text)
    assert max(page.ids.values()) == 1
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    assert not page.handlers
    for link in page.links:
        assert link.startswith(("#", "data:image/png;base64,")), link
        assert not link.startswith("#") or link[1:] in page.ids, link
    for url in re.findall(r"url\(([^)]*)\)", text):
        assert url[0] == "#", url
        assert url[1:] in page.ids, url
    assert not re.search(r"https?:|@import|javascript:", text)
    assert "default-src 'none'" in text
    return page
