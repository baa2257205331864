"""
The site that C{reitunnel demo} makes public: one page, served in this process.
"""

from __future__ import annotations

from html import escape
from typing import Final

from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Reitunnel: it works</title>
<style>
  :root {{ color-scheme: light dark; --ink: #1c2733; --soft: #5d6b7a;
    --paper: #f6f4ef; --card: #ffffff; --line: #d9d4c7; --mark: #0b7a75; }}
  @media (prefers-color-scheme: dark) {{ :root {{ --ink: #e8e6e1; --soft: #9aa7b4;
    --paper: #14191f; --card: #1d242c; --line: #35404b; --mark: #3fc1b8; }} }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center;
    background: var(--paper); color: var(--ink);
    font: 17px/1.6 system-ui, sans-serif; }}
  main {{ max-width: 44rem; padding: 2rem 1.5rem; }}
  h1 {{ font-size: 2.2rem; line-height: 1.2; margin: 0 0 .5rem; }}
  p {{ margin: .5rem 0 1.5rem; color: var(--soft); }}
  ol {{ list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap;
    gap: .5rem; align-items: stretch; }}
  li {{ flex: 1 1 8rem; background: var(--card); border: 1px solid var(--line);
    border-radius: .6rem; padding: .8rem 1rem; }}
  li b {{ display: block; }}
  li span {{ font-size: .85rem; color: var(--soft); overflow-wrap: anywhere; }}
  li.link {{ flex: 0 1 7rem; background: none; border-style: dashed;
    border-color: var(--mark); color: var(--mark); text-align: center; }}
  li.link span {{ color: var(--mark); }}
  code {{ font-size: .95em; }}
</style>
</head>
<body>
<main>
<h1>This page came through a tunnel</h1>
<p>You asked a public port. The page is served behind it, by a program that
opened no port of its own.</p>
<ol>
  <li><b>You</b><span>{visitor}</span></li>
  <li><b>Server</b><span>{host}</span></li>
  <li class="link"><b>TLS 1.3</b><span>one link</span></li>
  <li><b>Client</b><span>dialled the server, with a token</span></li>
  <li><b>This page</b><span>twisted.web, in the same process</span></li>
</ol>
<p>Stop the demo with Ctrl-C. To make a service of your own public, see
<code>reitunnel server --help</code> and <code>reitunnel client --help</code>.</p>
</main>
</body>
</html>
"""

TITLE: Final = b"This page came through a tunnel"
"""What stands in the page."""


class SamplePage(Resource):
    """
    The page. It shows what the visitor's request says.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.putChild(b"", self)

    def render_GET(self, request: Request) -> bytes:
        """
        Give the page.
        """
        request.setHeader(b"Content-Type", b"text/html; charset=utf-8")
        request.setHeader(b"Cache-Control", b"no-store")
        host = request.getHeader(b"Host") or b""
        visitor = request.getClientAddress()
        return _PAGE.format(
            visitor=escape(f"{visitor.host}:{visitor.port}"),
            host=escape(host.decode(errors="replace")),
        ).encode()


class SampleSite(Site):
    """
    The page as a site that writes no access log: the tunnel's log lines tell more.
    """

    noisy = False

    def __init__(self) -> None:
        super().__init__(SamplePage())  # type: ignore[no-untyped-call]

    def log(self, request: HTTPRequest) -> None:
        """
        Say nothing.
        """
