"""The docs, served by the console: found, made presentable, searched."""

from medfed.web.handbook.book import Book, Page, book
from medfed.web.handbook.rendering import render
from medfed.web.handbook.searching import Hit, search

__all__ = ["Book", "Hit", "Page", "book", "render", "search"]
